Feature: Gone with the feature

  Scenario: gone with the feature
    Then there is no redis
    And there is a postgres

  @service.orders
  Scenario Outline: examples
    Then there is a orders
    And there is a <what>

    Examples:
      | what     |
      | postgres |
      | orders   |

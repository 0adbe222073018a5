@service.redis
Feature: A service for a feature

  @service.postgres.isolated
  Scenario: a namespace of the service of the run
    Given 2 notes in postgres
    Then there is a redis

  @service.postgres.isolated
  Scenario: another namespace
    Given 1 note in postgres
    Then there is a redis

  @service.orders.isolated
  Scenario: a service by its role
    Given 1 note in orders
    And a redis of its own
    Then there is a cache

  Scenario: gone with the scenario
    Then there is a redis
    And there is no orders
    And there is no cache

Feature: Stock

  Scenario: an order is taken from the stock
    When 4 apple are ordered
    Then the stock of apple is 6

  Scenario: more than the stock is refused
    Then 4 pear cannot be ordered
    And the stock of pear is 3
    And there are no orders

  Scenario: customers at once get no more than there is
    When 5 customers order 1 pear each at once
    Then 2 customers are refused
    And the stock of pear is 0

  Scenario: the cache answers for the price
    Given the cache says that apple costs 9
    When 1 apple is ordered
    Then the orders are
      | number | product | quantity | total |
      | 1      | apple   | 1        | 9     |

Feature: Placing orders

  Scenario: an order is found again
    When 2 apple are ordered
    Then the orders are
      | number | product | quantity | total |
      | 1      | apple   | 2        | 3.00  |

  Scenario: orders are numbered from one
    When 1 apple is ordered
    And 1 pear is ordered
    Then the orders are
      | number | product | quantity | total |
      | 1      | apple   | 1        | 1.50  |
      | 2      | pear    | 1        | 2.00  |

  Scenario: an unknown product is refused
    Then 1 durian cannot be ordered
    And there are no orders

  Scenario: a new price counts at once
    When 1 pear is ordered
    And the price of pear is set to 5
    And 1 pear is ordered
    Then the orders are
      | number | product | quantity | total |
      | 1      | pear    | 1        | 2.00  |
      | 2      | pear    | 1        | 5     |

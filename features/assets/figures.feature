Feature: Figures over assets
  A planner asks how many machines there are of which maker, and what they come to; an engineer asks it of one hall.

  Background:
    Given the machines
      | name   | hall | manufacturer | rated_power_kw |
      | pump 1 | A    | Grundfos     | 1.5            |
      | pump 2 | A    | Wilo         | 4              |
      | pump 3 | B    | Grundfos     | 2.5            |
      | fan    | B    |              | 7.5            |

  Scenario: A planner counts machines by maker and asks for their mean power
    Then by "properties.manufacturer" there are
      | group    | count | avg |
      | Grundfos | 2     | 2   |
      | Wilo     | 1     | 4   |
      |          | 1     | 7.5 |

  Scenario: An engineer asks by hall
    Then by "ancestor.hall" there are
      | group | count | avg  |
      | A     | 2     | 2.75 |
      | B     | 2     | 5    |

  Scenario: An engineer asks of one hall alone
    Then by "properties.manufacturer" there are below "A"
      | group    | count | avg |
      | Grundfos | 1     | 1.5 |
      | Wilo     | 1     | 4   |

  Scenario: A stranger's machines do not count
    Then a stranger counts nothing by "properties.manufacturer"

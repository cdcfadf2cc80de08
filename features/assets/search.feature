Feature: Find assets by what they are, where they stand and what they have to do with
  Engineers ask questions that cross all that is known of a thing; the answer comes page by page, in the order they want.

  Background:
    Given the pumps
      | name        | maker    | kw  | in     |
      | Feed pump 1 | Grundfos | 7.5 | hall A |
      | Feed pump 2 | Wilo     | 22  | hall A |
      | Spare pump  | Grundfos | 1.1 | hall B |
      | Sump pump   | KSB      |     | hall B |

  Scenario: An engineer asks by a predicate
    When an engineer looks for assets where "$.maker == "Grundfos" && $.kw > 5"
    Then "Feed pump 1" are found

  Scenario: An engineer remembers a part of the name
    When an engineer looks for assets by the words "pump fe"
    Then "Feed pump 1, Feed pump 2" are found

  Scenario: An engineer asks what is in a hall
    When an engineer looks for what is below "hall B" made by "Grundfos"
    Then "Spare pump" are found

  Scenario: An engineer asks what feeds a boiler
    Given the boiler "boiler" made by "Viessmann"
    When an operator says that "Feed pump 2" "feeds" "boiler" with 4 bar
    And an engineer looks for what "feeds" "boiler"
    Then "Feed pump 2" are found

  Scenario: The strongest come first, and those of which nothing is known last
    When an engineer sorts all pumps by "-properties.kw", 2 on a page
    Then "Feed pump 2, Feed pump 1, Spare pump, Sump pump" are found

  Scenario: What is added while an engineer pages disturbs nothing
    When an engineer sorts all pumps by "name", 2 on a page, and an operator adds "A pump" in between
    Then "Feed pump 1, Feed pump 2, Spare pump, Sump pump" are found

  Scenario: A page leads on in its own search alone
    When an engineer goes on from a page by "name" in the order of "-name"
    Then it is refused because the page leads on in another search

  Scenario: A predicate that cannot be read is refused with the place
    When an engineer looks for assets where "$.kw > ?"
    Then it is refused because the predicate cannot be read
    And it is told that character 8 cannot stand there

  Scenario: Nothing of others is found
    When a stranger looks for assets where "$.maker == "Grundfos""
    Then nothing is found
    When a stranger looks for what is below "hall B"
    Then it is refused because there is no such asset

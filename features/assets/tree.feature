Feature: What is part of what
  A site has halls, a hall has lines, a line has machines. Engineers ask for all that is in a hall, or of what a pump is
  part; operators move a line with all that belongs to it.

  Background:
    Given the assets
      """
      site
        hall A
          line 1
            pump
        hall B
      yard
      """

  Scenario: An engineer asks what is in a hall, and of what a pump is part
    Then all that is below "site" is "hall A, line 1, pump, hall B"
    And directly below "site" is "hall A, hall B"
    And "pump" is part of "site, hall A, line 1"
    And "yard" is part of nothing

  Scenario: What much is said of comes on more pages
    Given 24 machines in "hall B", of each of which 240 KiB are said
    When an engineer goes through all that is in "hall B", 500 on a page
    Then no page has more than 5 MiB
    And each of the 24 machines was on one of them

  Scenario: A line moves with all that belongs to it
    When an operator moves "line 1" to "hall B"
    Then all that is below "site" is "hall A, hall B, line 1, pump"
    And "pump" is part of "site, hall B, line 1"

  Scenario: What is taken out is by itself, with all that belongs to it
    When an operator takes "hall A" out of "site"
    Then all that is below "site" is "hall B"
    And "pump" is part of "hall A, line 1"

  Scenario: Nothing is part of itself
    When an operator tries to move "hall A" to "pump"
    Then it is refused because nothing can be below itself
    And "pump" is part of "site, hall A, line 1"

  Scenario: Of two operators who move two halls into each other at the same time one succeeds
    When two operators at once move "hall A" to "hall B" and "hall B" to "hall A"
    Then one of the two is refused because nothing can be below itself
    And one of "hall A" and "hall B" is below the other, and that directly below "site"

  Scenario: A hall is not removed while something is in it
    When an operator tries to remove "hall A"
    Then it is refused because something is below it
    When an operator takes "line 1" out of "hall A"
    And an operator removes "hall A"
    Then all that is below "site" is "hall B"

  Scenario: A machine that reports stands in the tree like any other thing
    Given the device "boiler-7" is registered
    When an operator moves the asset of "boiler-7" to "line 1"
    Then directly below "line 1" is "pump, boiler-7"

  Scenario: A device is put in its place when it is registered
    When an operator puts the new device "boiler-7" into "line 1"
    Then directly below "line 1" is "pump, boiler-7"
    When an operator tries to put the new device "boiler-8" into a hall of a stranger's
    Then it is refused for its "asset.parent_id"
    And there is no device with the serial number of "boiler-8"

  Scenario: Nothing is put into what belongs to others
    When a stranger tries to move "pump" to a hall of theirs
    Then it is refused because there is no such asset
    When an operator tries to move "pump" to a hall of a stranger's
    Then it is refused for its "parent_id"
    And "pump" is part of "site, hall A, line 1"

  Scenario: Engineers look, operators move
    When an engineer tries to move "pump" to "yard"
    Then it is refused because the role is too low

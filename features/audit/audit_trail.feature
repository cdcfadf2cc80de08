Feature: The audit trail
  Who did what to what, when, from where, and how it ended; kept so that nobody can take it back.

  Scenario: An administrator finds out who changed a device
    Given the device "boiler-7" is registered
    When an operator suspends the device "boiler-7"
    Then the trail tells the administrator that an operator registered and changed "boiler-7"

  Scenario: A refused attempt is kept, with where it came from
    Given the device "boiler-7" is registered
    When a viewer tries to suspend the device "boiler-7"
    Then the trail tells the administrator that a viewer was refused to change "boiler-7"

  Scenario: A device's first contact is kept
    Given the device "boiler-7" is registered
    When the device "boiler-7" looks at itself again and again
    Then the trail tells the administrator once that "boiler-7" became active by itself

  Scenario: Another organisation's trail is not seen
    Given the device "boiler-7" is registered
    When the administrator of another organisation looks for "boiler-7" in the trail
    Then nothing is found there

  Scenario: Entries are sealed soon
    Given the device "boiler-7" is registered
    Then within 5 seconds every entry about "boiler-7" has its place in the chain

  Scenario: A platform that is well is found to be well
    Given a platform of its own
    When the doctor is asked about it
    Then the doctor finds all four stores, the shadows, the signing keys, the audit trail and the archive well

  Scenario: An entry that was altered in the database is named
    Given a platform of its own
    And on it the device "boiler-7" that reported and measured something
    And its entries are sealed
    When somebody with rights on the database makes another the one who registered "boiler-7"
    And the doctor is asked about it
    Then the doctor names that entry, and ends with status 1

  Scenario: An end of the chain that was noted shows that the rest was cut off
    Given a platform of its own
    And on it the device "boiler-7" that reported and measured something
    And its entries are sealed
    And the end of its chain is noted
    When somebody with rights on the database removes the latest entry
    And the doctor is asked about it
    Then the doctor says that the noted end is no longer there

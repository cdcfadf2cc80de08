Feature: Maintenance log
  What befell a device, and what was done to it, is written down by engineers, so that others can tell later how long
  its parts last and what they cost.

  Background:
    Given the device "pump-7" is registered

  Scenario: An engineer writes down a failure and what was done about it
    When an engineer records for "pump-7" on 2026-03-01 the failure of the "seal"
    And an engineer records for "pump-7" on 2026-03-02 the replacement of the "seal" for 120.50
    Then the log of "pump-7" is: 2026-03-01 failure of the seal, 2026-03-02 replacement of the seal
    And the second of them cost 120.50 and was recorded by the engineer

  Scenario: What is written down late stands where it happened
    When an engineer records for "pump-7" on 2026-03-02 the repair of the "seal"
    And an engineer records for "pump-7" on 2026-03-01 the failure of the "seal"
    Then the log of "pump-7" is: 2026-03-01 failure of the seal, 2026-03-02 repair of the seal

  Scenario: Nothing is written down before it has happened
    When an engineer records for "pump-7" the inspection of tomorrow
    Then it is refused for its "occurred_at"
    And the log of "pump-7" is empty

  Scenario: A mistake is taken out, and the trail tells so
    Given an engineer has recorded for "pump-7" on 2026-03-01 the failure of the "motor"
    When an engineer takes it out of the log
    Then the log of "pump-7" is empty
    And the trail tells who recorded it and who took it out
    When an engineer takes it out of the log
    Then it is refused because there is no such event

  Scenario: Who loses the answer and sends an event again has recorded it once
    When an engineer records for "pump-7" the same failure twice under one idempotency key
    Then the log of "pump-7" has 1 event

  Scenario: A device does not write its own log, nor does who may only look
    When the device "pump-7" records a failure of itself
    Then it is refused because a device may not
    When a viewer records a failure of "pump-7"
    Then it is refused because the role is too low
    And the log of "pump-7" is empty

  Scenario: The failures of one kind of part are found over the whole fleet
    Given the device "pump-8" is registered
    And an engineer has recorded for "pump-7" on 2026-03-01 the failure of the "seal"
    And an engineer has recorded for "pump-8" on 2026-02-01 the failure of the "seal"
    And an engineer has recorded for "pump-8" on 2026-02-02 the repair of the "seal"
    And an engineer has recorded for "pump-8" on 2026-02-03 the failure of the "motor"
    When an engineer looks for failures of the "seal" in the fleet
    Then they are those of "pump-8" and "pump-7", in this order

  Scenario: One organisation's log is as good as absent for another
    Given an engineer has recorded for "pump-7" on 2026-03-01 the failure of the "seal"
    When an engineer of another organisation asks for the log of "pump-7"
    Then it is refused because there is no such device
    And an engineer of another organisation finds no failures in the fleet

  Scenario: A workshop's book is brought in by serial number, line by line
    When an operator imports the log
      """
      serial_number,kind,component,occurred_at,notes,cost
      SN-pump-7,failure,seal,2026-03-01T08:00:00+01:00,"Leaking, badly",
      SN-pump-8,failure,seal,2026-03-01T08:00:00+01:00,,
      SN-pump-7,accident,seal,2026-03-01T08:00:00+01:00,,
      SN-pump-7,replacement,seal,2026-03-02T08:00:00+01:00,,120.5
      """
    Then of its lines the ones that count are 2 and 5
    And the log of "pump-7" is: 2026-03-01 failure of the seal, 2026-03-02 replacement of the seal

  Scenario Outline: What is taken out of the log is brought in again as it was
    Given an engineer has recorded for "pump-7" on 2026-03-01 the failure of the "=seal"
    And an engineer has recorded for "pump-7" on 2026-03-02 the replacement of the "=seal" for 120.50
    When an operator exports the log as <form>
    And an engineer takes all of it out of the log of "pump-7"
    And an operator imports the exported log
    Then the log of "pump-7" is: 2026-03-01 failure of the =seal, 2026-03-02 replacement of the =seal

    Examples:
      | form          |
      | lines of JSON |
      | a spreadsheet |

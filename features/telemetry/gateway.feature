Feature: Readings of many devices at once
  A gateway speaks for the devices behind it: it sends their readings as one stream, a line each. What it has sent is
  stored while it goes on, and one bad line costs no other.

  Background:
    Given the device "boiler-7" is registered
    And the device "pump-1" is registered
    And an administrator has given the integration "gateway" a key as operator

  Scenario: One stream carries the readings of many devices
    When "gateway" streams 2000 readings of "boiler-7" and "pump-1"
    Then 2000 values of the stream are stored
    And the latest temperature of "pump-1" is 1999
    And the ledger of "boiler-7" counts 1000 stored and 0 rejected

  Scenario: A stream that is sent again changes nothing
    Given "gateway" streams 100 readings of "boiler-7" and "pump-1"
    When "gateway" streams 100 readings of "boiler-7" and "pump-1"
    Then 100 values of the stream are duplicates

  Scenario: A line that cannot be read costs no other
    When "gateway" streams a reading of "boiler-7", a torn line and a reading of "pump-1"
    Then 2 values of the stream are stored
    And line 2 is rejected because it is torn

  Scenario: A line for a device that is not ours tells nothing of it
    When "gateway" streams readings of "boiler-7" and of a device that nobody knows
    Then 1 value of the stream is stored
    And line 2 is rejected because there is no such device

  Scenario: A suspended device is turned away behind a gateway too
    Given an operator suspends the device "pump-1"
    When "gateway" streams 10 readings of "boiler-7" and "pump-1"
    Then 5 values of the stream are stored
    And line 2 is rejected because the device is suspended

  Scenario: A device behind a gateway is seen as often as its readings come
    When "gateway" streams a present reading of "boiler-7" and an old one of "pump-1"
    Then "boiler-7" is shown as online
    And "pump-1" was last seen when its reading was taken

  Scenario: A device speaks for itself alone
    When "boiler-7" itself streams 10 readings of "boiler-7" and "pump-1"
    Then it is refused because a device may not

  Scenario Outline: What is exported goes into another platform as it was
    Given "gateway" streams 1000 readings of "boiler-7" and "pump-1"
    And "boiler-7" sent temperature 21.5 and mode "heat" of 10:00
    When an operator exports "boiler-7" and "pump-1" as <format>
    And another organisation imports the file
    Then it has the same points of "boiler-7" and "pump-1"
    When another organisation imports the file
    Then all that was imported were duplicates

    Examples:
      | format  |
      | csv     |
      | parquet |

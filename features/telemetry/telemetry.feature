Feature: Telemetry of a device
  A device sends readings: values of its metrics, at a time. Each value of a metric at one time is a point, and every
  point is kept once, however often it is sent and in whatever order.

  Background:
    Given the device "boiler-7" is registered

  Scenario: A reading is there as soon as it is accepted
    When "boiler-7" sends temperature 21.5 and mode "heat" of 10:00
    Then 2 values are stored
    And the latest temperature of "boiler-7" is 21.5
    And the latest mode of "boiler-7" is "heat"

  Scenario: What arrives late does not pass for the latest
    Given "boiler-7" sent temperature 22 of 10:05
    When "boiler-7" sends temperature 19 of 09:55
    Then the latest temperature of "boiler-7" is 22
    And the temperature of "boiler-7" from 09:00 to 11:00 was 19 at 09:55 and 22 at 10:05

  Scenario: A batch that is sent again after a lost answer changes nothing
    Given "boiler-7" sent temperature 21 of 10:00
    When "boiler-7" sends temperature 21 of 10:00
    Then 1 value is a duplicate
    And the ledger of "boiler-7" counts 1 stored and 1 duplicate

  Scenario: What is stored stays when another value is sent for the same time
    Given "boiler-7" sent temperature 21 of 10:00
    When "boiler-7" sends temperature 30 of 10:00
    Then 1 value is a conflict
    And the latest temperature of "boiler-7" is 21

  Scenario: An operator corrects what was stored
    Given "boiler-7" sent temperature 21 of 10:00
    When an operator replaces it by temperature 30 of 10:00
    Then 1 value is stored
    And the latest temperature of "boiler-7" is 30

  Scenario: One bad value costs no good one
    When "boiler-7" sends temperature 21 and pressure null of 10:00
    Then 1 value is stored
    And the pressure is rejected because null is no value
    And the ledger of "boiler-7" counts 1 stored and 1 rejected

  Scenario: A clock that is days ahead is noticed
    When "boiler-7" sends temperature 21 of the day after tomorrow
    Then the readings are refused because their time lies ahead

  Scenario: Readings become figures over intervals
    Given "boiler-7" sent temperature 20 of 10:00
    And "boiler-7" sent temperature 22 of 10:04
    And "boiler-7" sent temperature 27 of 10:10
    When an engineer asks for the average temperature of "boiler-7" every 5m from 10:00 to 10:15
    Then the figures are 21 at 10:00 and 27 at 10:10

  Scenario: Gaps between figures are filled for who asks
    Given "boiler-7" sent temperature 21 of 10:02
    And "boiler-7" sent temperature 27 of 10:10
    When an engineer asks for the average temperature of "boiler-7" every 5m from 10:00 to 10:15 with gaps interpolated
    Then the figures are 21 at 10:00 and 24 at 10:05 and 27 at 10:10

  Scenario: A device sends for itself alone
    Given the device "pump-1" is registered
    When "pump-1" sends temperature 21 for "boiler-7"
    Then it is refused because there is no such device

  Scenario: A packed batch is unpacked
    When "boiler-7" sends 1000 readings, packed
    Then 1000 values are stored

  Scenario: A year of readings is shown by the day, and late readings count
    Given "boiler-7" sent a temperature of 20 each day of a year
    And everything has been rolled up
    When "boiler-7" sends temperature 30 of 10:00 on a day half a year back
    And an engineer asks for the average temperature of "boiler-7" by the day over that year
    Then every day shows 20, and that one 25
    And it shows the same when everything has been rolled up again

Feature: Asking for what a device has sent
  Series tell the unit of their metric. A chart needs few points, other programs want a file, and what should never have
  been sent can be deleted.

  Background:
    Given the device "boiler-7" is registered

  Scenario: A series tells the unit that the device type gives its metric
    Given an operator has defined the type "boiler" with the metric "temperature" in "°C"
    And the device "boiler-8" of the type "boiler" is registered
    When "boiler-8" sends temperature 21.5 and load 3 of 10:00
    Then the temperature of "boiler-8" is in "°C"
    And the load of "boiler-8" is in no known unit

  Scenario: A chart shows the course of many readings by few of them
    Given "boiler-7" sent 1000 readings with a peak of 95 at the 500th
    When an engineer asks for 20 points of "boiler-7" that show the course
    Then there are 20 points, the peak and both ends among them

  Scenario Outline: A series is a file for other programs
    Given "boiler-7" sent temperature 21.5 and mode "heat" of 10:00
    When an engineer asks for the readings of "boiler-7" as <format>
    Then its rows are temperature 21.5 and mode "heat" of 10:00

    Examples:
      | format |
      | CSV    |
      | Arrow  |

  Scenario: An administrator deletes what should not have been sent
    Given "boiler-7" sent temperature 999 and mode "heat" of 10:00
    And "boiler-7" sent temperature 21 of 10:05
    When an administrator deletes the temperature of "boiler-7" from 10:00 to 10:05
    Then 1 point is deleted
    And the temperature of "boiler-7" from 09:00 to 11:00 was 21 at 10:05
    And the latest mode of "boiler-7" is "heat"
    And the audit trail tells that 1 point of "boiler-7" was deleted

  Scenario: An operator deletes nothing
    Given "boiler-7" sent temperature 21 of 10:00
    When an operator tries to delete the telemetry of "boiler-7"
    Then it is refused because the role is too low
    And the latest temperature of "boiler-7" is 21

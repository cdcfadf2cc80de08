Feature: Telemetry of a fleet
  Whoever looks after many devices asks about all of them at once: each for itself, by device type, or all together.

  Background:
    Given the device "boiler-7" is registered
    And the device "boiler-8" is registered
    And "boiler-7" sent temperature 20 of 10:00
    And "boiler-7" sent temperature 22 of 10:04
    And "boiler-8" sent temperature 60 of 10:02

  Scenario: Each device is shown for itself
    When an engineer asks for the average temperature of "boiler-7" and "boiler-8" every 1h
    Then the figures are 21 of "boiler-7" and 60 of "boiler-8"

  Scenario: All readings count the same, whichever device they are of
    When an engineer asks for the average temperature of the fleet every 1h
    Then the figure of the fleet is 34

  Scenario: A device that nobody knows is not asked about
    When an engineer asks for the average temperature of "boiler-7" and a device that nobody knows every 1h
    Then it is refused because there is no such device

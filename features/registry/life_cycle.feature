Feature: Suspend a device and let it in again
  An operator who does not trust a device for a while suspends it; nothing of it is lost.

  Scenario: A suspended device can do nothing
    Given the device "boiler-7" is registered
    And the device "boiler-7" looks at itself
    When an operator suspends the device "boiler-7"
    Then within 1 seconds the device "boiler-7" is turned away from itself, its shadow and its telemetry
    When an operator reactivates the device "boiler-7"
    Then within 1 seconds the device "boiler-7" is let in

  Scenario: A device that never spoke is active by an operator's word, and still unseen
    Given the device "boiler-7" is registered
    When an operator suspends the device "boiler-7"
    And an operator reactivates the device "boiler-7"
    Then the device "boiler-7" is active and was never seen

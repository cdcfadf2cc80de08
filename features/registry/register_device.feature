Feature: Register a device
  Operators register a device before it may send anything; registering makes it known to every store.

  Scenario: A registered device has an asset and an empty shadow
    When an operator registers the device "boiler-7"
    Then the device "boiler-7" is provisioned and was never seen
    And within 2 seconds the device "boiler-7" has an asset
    And the shadow of "boiler-7" is empty at version 0

  Scenario: A serial number can be used only once
    Given "boiler-7" is registered under the serial number "SN-1"
    When an operator registers "boiler-8" under the serial number "SN-1"
    Then it is refused because the serial number is taken

  Scenario: A device becomes active when it first shows its key
    Given the device "boiler-7" is registered
    When the device "boiler-7" looks at itself
    Then the device "boiler-7" is active and online

  Scenario: A suspended device is turned away until it is active again
    Given the device "boiler-7" is registered
    And the device "boiler-7" looks at itself
    When an operator suspends the device "boiler-7"
    Then within a second the device "boiler-7" is refused because the device is suspended
    When an operator reactivates the device "boiler-7"
    Then within a second the device "boiler-7" is let in

  Scenario: A revoked key is refused within a second, however often it was just let in
    Given the device "boiler-7" is registered
    And the device "boiler-7" looks at itself again and again
    When an administrator revokes every key of "boiler-7"
    Then within a second the device "boiler-7" is refused because the credential is not valid
    And the device "boiler-7" is refused from then on

  Scenario: One organisation's devices are as good as absent for another
    Given the device "boiler-7" is registered
    When an operator of another organisation asks for the device "boiler-7"
    Then it is refused because there is no such device

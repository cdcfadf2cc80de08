Feature: Let devices in that nobody has registered
  An administrator gives the maker of devices a provisioning key: good for so many devices of a type, until a moment.
  A device shows it once, and has a key of its own from then on.

  Scenario: A device lets itself in
    Given an administrator has made a provisioning key for 2 devices of the type "pump"
    When the device "boiler-7" lets itself in with the provisioning key
    Then the device "boiler-7" is a "pump" and was never seen
    And within 2 seconds the device "boiler-7" has an asset
    When the device "boiler-7" looks at itself
    Then the device "boiler-7" is active and online

  Scenario: A key for two devices makes two
    Given an administrator has made a provisioning key for 2 devices of the type "pump"
    When 12 devices let themselves in at once with the provisioning key
    Then 2 of them are in and 10 are refused because the provisioning key is spent
    And the provisioning key has made 2 devices

  Scenario: A taken serial number spends no use
    Given an administrator has made a provisioning key for 1 devices of the type "pump"
    And "boiler-7" is registered under the serial number "SN-1"
    When the device "boiler-8" lets itself in under the serial number "SN-1"
    Then it is refused because the serial number is taken
    And the provisioning key has made 0 devices

  Scenario: A device that lost the answer to the last use asks again and is given the same key
    Given an administrator has made a provisioning key for 1 devices of the type "pump"
    When the device "boiler-7" lets itself in with the provisioning key and loses the answer
    And the device "boiler-7" lets itself in again
    Then it is given the same key
    And the provisioning key has made 1 devices

  Scenario: A revoked provisioning key lets nobody in, and whoever is in stays
    Given an administrator has made a provisioning key for 2 devices of the type "pump"
    And the device "boiler-7" lets itself in with the provisioning key
    When an administrator revokes the provisioning key
    And the device "boiler-8" lets itself in with the provisioning key
    Then it is refused because the credential is not valid
    When the device "boiler-7" looks at itself
    Then it is let in

  Scenario: A stranger without a key is turned away
    When a stranger tries to let a device in
    Then it is refused because there is no credential

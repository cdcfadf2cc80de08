Feature: Give a device new keys without a gap
  An administrator rotates a device's key from time to time, or at once when it may have been seen.

  Scenario: With a grace the old key works on beside the new one
    Given the device "boiler-7" has a key
    When an administrator rotates the key of "boiler-7" with a grace of 60 seconds
    Then the old key of "boiler-7" works
    And the new key of "boiler-7" works

  Scenario: When the grace ends, so does the old key
    Given the device "boiler-7" has a key
    When an administrator rotates the key of "boiler-7" with a grace of 1 seconds
    Then within 3 seconds the old key of "boiler-7" is refused
    And the new key of "boiler-7" works

  Scenario: Without a grace the old key is refused within a second
    Given the device "boiler-7" has a key
    When an administrator rotates the key of "boiler-7" with a grace of 0 seconds
    Then within 1 seconds the old key of "boiler-7" is refused
    And the new key of "boiler-7" works

  Scenario: A key is rotated once
    Given the device "boiler-7" has a key
    When an administrator rotates the key of "boiler-7" with a grace of 60 seconds
    And an administrator rotates the key of "boiler-7" with a grace of 60 seconds
    Then it is refused because the credential was rotated already

  Scenario: An operator does not handle keys
    Given the device "boiler-7" has a key
    When an operator rotates the key of "boiler-7"
    Then it is refused because the role is too low

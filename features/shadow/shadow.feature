Feature: The shadow of a device
  An operator says what a device shall be, the device says what it is, and the shadow keeps both, also while the
  device is away. What is asked and not yet so is the delta.

  Background:
    Given the device "boiler-7" is registered

  Scenario: What is asked of a device stands in the delta until the device reports it
    When an operator wants "boiler-7" to be {"target": 55, "mode": "eco"}
    And "boiler-7" reports {"target": 48, "mode": "eco", "signal": -61}
    Then "boiler-7" has yet to become {"target": 55}
    When "boiler-7" reports {"target": 55.0}
    Then "boiler-7" is all that it shall be

  Scenario: A change names what changes, null takes away, and the rest stays
    Given an operator wants "boiler-7" to be {"heating": {"target": 55, "mode": "eco"}, "light": "on", "steps": [1, 2]}
    When an operator wants "boiler-7" to be {"heating": {"mode": null}, "light": null, "steps": []}
    Then "boiler-7" shall be {"heating": {"target": 55}, "steps": []}
    When an operator no longer wants anything of "boiler-7"
    Then the shadow of "boiler-7" holds nothing at version 3

  Scenario: Of two operators who read the same version only the first one's change is made
    Given an operator wants "boiler-7" to be {"target": 50}
    When an operator who read version 1 wants "boiler-7" to be {"target": 55}
    And an operator who read version 1 wants "boiler-7" to be {"target": 40}
    Then the change is refused because the shadow has another version
    And "boiler-7" shall be {"target": 55}

  Scenario: A device reports what it is and has no say in what it shall be
    When "boiler-7" says that it shall be {"target": 90}
    Then the change is refused because devices only report
    When "boiler-7" deletes its shadow
    Then the change is refused because the device is not allowed
    And the shadow of "boiler-7" holds nothing at version 0

  Scenario: A deleted shadow is gone until it is written again, and its version goes on
    Given an operator wants "boiler-7" to be {"target": 55}
    When an operator deletes the shadow of "boiler-7"
    Then "boiler-7" has no shadow
    When "boiler-7" reports {"target": 20}
    Then the shadow of "boiler-7" is at version 3
    And "boiler-7" is all that it shall be

  Scenario: A device has shadows by name beside the one without
    When an operator writes the shadow "network" of "boiler-7"
    And an operator writes the shadow "firmware" of "boiler-7"
    Then "boiler-7" has the shadows "network, firmware"
    And the shadow of "boiler-7" holds nothing at version 0

  Scenario: A state too large is refused as a whole
    Given an operator wants "boiler-7" to be {"target": 55}
    When an operator wants "boiler-7" to remember a text of 33000 letters
    Then the change is refused because the shadow would be too large
    And "boiler-7" shall be {"target": 55}
    And the shadow of "boiler-7" is at version 1

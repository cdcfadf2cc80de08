Feature: The schema of a shadow
  A device type may say what states its devices can have. What does not fit is not asked of a device; what a device
  reports of itself is so, and is kept with a mark.

  Background:
    Given an operator has defined the type "boiler" with the shadow schema
      """
      {
        "properties": {
          "heating": {
            "properties": {"target": {"type": "number", "maximum": 80}, "mode": {"enum": ["eco", "boost"]}},
            "required": ["mode"],
            "additionalProperties": false
          }
        },
        "required": ["heating"]
      }
      """
    And the device "boiler-7" of the type "boiler" is registered

  Scenario: What a device of the type cannot be is not asked of it
    When an operator wants "boiler-7" to be {"heating": {"target": 95}}
    Then the change is refused for its "state.desired.heating.target"
    And the shadow of "boiler-7" is at version 0

  Scenario: Who asks names only what shall change
    When an operator wants "boiler-7" to be {"heating": {"target": 60}}
    Then "boiler-7" shall be {"heating": {"target": 60}}
    When an operator wants "boiler-7" to be {"heating": {"colour": "red"}}
    Then the change is refused for its "state.desired.heating"
    And "boiler-7" shall be {"heating": {"target": 60}}

  Scenario: What a device reports is kept, and marked where it does not fit
    When "boiler-7" reports {"heating": {"target": 95, "mode": "eco"}}
    Then the shadow of "boiler-7" is marked at "state.reported.heating.target"
    When "boiler-7" reports {"heating": {"target": 55}}
    Then the shadow of "boiler-7" is not marked

  Scenario: A named shadow is not held against the schema
    When an operator writes the shadow "network" of "boiler-7"
    Then "boiler-7" has the shadows "network"

  Scenario: A new definition counts from then on
    Given an operator has defined the type "boiler" with the shadow schema
      """
      {"properties": {"heating": {"properties": {"target": {"maximum": 50}}}}}
      """
    When an operator wants "boiler-7" to be {"heating": {"target": 60}}
    Then the change is refused for its "state.desired.heating.target"

Feature: What became of what was asked
  Each value that a device is asked to take is a request. It is pending until the device takes it or refuses it, until
  another value is asked for in its place, or until it is taken back.

  Background:
    Given the device "boiler-7" is registered

  Scenario: Requests are applied, refused, superseded and cleared
    Given an operator wants "boiler-7" to be {"heating": {"target": 90, "mode": "eco"}, "light": "on", "fan": 3}
    When "boiler-7" reports {"heating": {"mode": "eco"}}
    And "boiler-7" refuses "/heating/target" as "too_hot": "Nothing above 60 is safe."
    And an operator wants "boiler-7" to be {"light": "off", "fan": null}
    Then this became of what "boiler-7" was asked
      | path            | value | asked | became     | at |
      | /light          | "off" | 4     | pending    |    |
      | /fan            | 3     | 1     | cleared    | 4  |
      | /heating/mode   | "eco" | 1     | applied    | 2  |
      | /heating/target | 90    | 1     | refused    | 3  |
      | /light          | "on"  | 1     | superseded | 4  |
    And "boiler-7" refused "/heating/target" as "too_hot": "Nothing above 60 is safe."
    And "/light" is pending for "boiler-7"

  Scenario: What is so already is applied at once
    Given "boiler-7" reports {"target": 55}
    When an operator wants "boiler-7" to be {"target": 55.0}
    Then this became of what "boiler-7" was asked
      | path    | value | asked | became  | at |
      | /target | 55.0  | 2     | applied | 2  |

  Scenario: A deleted shadow asks nothing any more
    Given an operator wants "boiler-7" to be {"target": 55}
    When an operator deletes the shadow of "boiler-7"
    Then this became of what "boiler-7" was asked
      | path    | value | asked | became  | at |
      | /target | 55    | 1     | cleared | 2  |

  Scenario: Nobody refuses for a device
    Given an operator wants "boiler-7" to be {"target": 55}
    When an operator refuses "/target" for "boiler-7"
    Then the change is refused because only the device itself refuses
    And "/target" is pending for "boiler-7"

Feature: The history of a shadow
  Every change of a shadow is kept: what was sent, by whom and when. A shadow can be seen as it was at any version, and
  at any time.

  Background:
    Given the device "boiler-7" is registered

  Scenario: The history tells who changed what, the newest first
    Given an operator wants "boiler-7" to be {"target": 55}
    When "boiler-7" reports {"target": 48, "signal": null}
    And an operator deletes the shadow of "boiler-7"
    Then the history of "boiler-7" reads
      | version | kind    | who      | sent                                          |
      | 3       | deleted | user     | null                                          |
      | 2       | updated | boiler-7 | {"reported": {"target": 48, "signal": null}}  |
      | 1       | updated | user     | {"desired": {"target": 55}}                   |

  Scenario: A shadow is shown as it was
    Given an operator wants "boiler-7" to be {"target": 50, "mode": "eco"}
    And an operator wants "boiler-7" to be {"target": 60, "mode": null}
    When an operator deletes the shadow of "boiler-7"
    And an operator wants "boiler-7" to be {"light": "on"}
    Then at version 1 "boiler-7" was to be {"target": 50, "mode": "eco"}
    And when version 2 was made "boiler-7" was to be {"target": 60}
    And at version 3 "boiler-7" had no shadow
    And at version 4 "boiler-7" was to be {"light": "on"}
    And "boiler-7" never had a version 5

  Scenario: A device reads its own history, and an operator of another organisation finds none
    Given an operator wants "boiler-7" to be {"target": 50}
    Then "boiler-7" reads 1 change in its own history
    And an operator of another organisation finds no history of "boiler-7"

  Scenario: A shadow that was deleted and made anew knows nothing of its earlier life
    Given an operator wants "boiler-7" to be {"target": 55}
    And an operator deletes the shadow of "boiler-7"
    When "boiler-7" reports {"signal": -61}
    Then "boiler-7" is all that it shall be
    And nothing is pending for "boiler-7"

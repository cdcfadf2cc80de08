Feature: The history of an asset
  Every change of an asset is kept: what was changed, by whom and when. Engineers who look into a failure see the machine as
  it was then, and where it stood.

  Background:
    Given the assets
      """
      site
        hall A
          pump
        hall B
      """

  Scenario: The history tells who changed what, the newest first
    When an operator changes the properties of "pump" by
      """
      {"impeller": {"mm": 180}, "hours": 1.0}
      """
    And an admin moves "pump" to "hall B"
    Then the history of the asset "pump" reads
      | version | kind    | who      | patch                                                    |
      | 3       | changed | admin    | {"parent_id": "hall B"}                                  |
      | 2       | changed | operator | {"properties": {"impeller": {"mm": 180}, "hours": 1.0}}  |
      | 1       | added   | operator | {"asset_type": "place", "name": "pump", "properties": {}, "capabilities": [], "parent_id": "hall A"} |

  Scenario: An engineer sees a machine as it was when it failed
    Given an operator has set the impeller of "pump" to 180 and later to 165
    When an operator moves "pump" to "hall B"
    Then at the time of version 2 "pump" was in "hall A" with an impeller of 180
    And at version 3 "pump" was in "hall A" with an impeller of 165
    And at the time of version 4 "pump" was in "hall B" with an impeller of 165

  Scenario: Before it was added there was no such machine
    When an engineer asks how "pump" was a minute before it was added
    Then it is refused because the asset was never so
    When an engineer asks for version 7 of "pump"
    Then it is refused because the asset was never so

  Scenario: Of many changes at once each is in the history
    When 10 operators at once each set a property of "pump"
    Then the history of "pump" has 11 versions, each of which can be seen

  Scenario: Of long descriptions the history comes on more pages
    When an operator describes "pump" anew 24 times, each time with 240 KiB
    And an engineer goes through the history of "pump", 500 on a page
    Then no page has more than 5 MiB
    And each of the 25 versions was on one of them

  Scenario: The asset of a device is told to be made by who registered it
    Given the device "boiler-7" is registered
    Then the history of the asset of "boiler-7" begins with the operator

  Scenario: The asset of a device that let itself in is told to be made by its provisioning key
    Given an administrator has made a provisioning key for 1 devices of the type "pump"
    And the device "boiler-8" lets itself in with the provisioning key
    Then the history of the asset of "boiler-8" begins with the provisioning key

  Scenario: The history goes with the asset, and is nobody else's
    When an engineer of another organisation asks for the history of "pump"
    Then it is refused because there is no such asset
    When an operator removes "pump"
    And an engineer asks for the history of "pump"
    Then it is refused because there is no such asset

Feature: Describe what the organisation owns
  Engineers find a machine by what it is made of; operators keep its description true, piece by piece.

  Scenario: An engineer finds the pumps of a manufacturer
    Given the pump "P-1" made by "Grundfos"
    And the pump "P-2" made by "Wilo"
    And the robot "R-1" made by "Grundfos"
    When an engineer looks for pumps made by "Grundfos"
    Then exactly "P-1" is found

  Scenario: A machine is found by a part within its parts
    Given the pump "P-1" with the properties
      """
      {"motor": {"maker": "ABB", "poles": 4}, "ratings": [{"kw": 1.5}, {"rpm": 2900}]}
      """
    And the pump "P-2" made by "Wilo"
    When an engineer looks for assets with the properties
      """
      {"motor": {"maker": "ABB"}, "ratings": [{"rpm": 2900.0}]}
      """
    Then exactly "P-1" is found

  Scenario: A change of one property leaves the others
    Given the pump "P-1" with the properties
      """
      {"place": {"site": "North", "floor": 1}, "serial": 36893488147419103233, "hours": 1.0}
      """
    When an operator changes the properties of "P-1" by
      """
      {"place": {"floor": null, "hall": "B"}}
      """
    Then the properties of "P-1" are
      """
      {"place": {"site": "North", "hall": "B"}, "serial": 36893488147419103233, "hours": 1.0}
      """
    And "P-1" is at version 2

  Scenario: Two operators who saw the same version do not overwrite each other
    Given the pump "P-1" made by "Grundfos"
    When two operators rename "P-1" who both saw version 1
    Then one of them is told that it has another version
    And "P-1" is at version 2

  Scenario: Operators who change different properties at once lose nothing
    Given the pump "P-1" made by "Grundfos"
    When 10 operators at once each set a property of "P-1"
    Then "P-1" has all 10 properties
    And "P-1" is at version 11

  Scenario: A registered device brings its description along
    When an operator registers the device "boiler-7" described as the boiler "Boiler in hall B" of 300 litres
    Then within 2 seconds the asset of "boiler-7" is the boiler "Boiler in hall B" of 300 litres

  Scenario: The asset of a device stays for as long as the device
    Given the device "boiler-7" is registered
    When an operator removes the asset of "boiler-7"
    Then it is refused because the asset belongs to a device

  Scenario: A device has one asset
    Given the device "boiler-7" is registered
    When an operator adds another asset for "boiler-7"
    Then it is refused because the device has an asset already

  Scenario: An asset that is not a device's can be removed
    Given the pump "P-1" made by "Grundfos"
    When an operator removes "P-1"
    Then "P-1" is gone

  Scenario: An asset that is added again under the same key is added once
    When an operator adds the pump "P-1" twice under one idempotency key
    Then an engineer who looks for pumps finds exactly "P-1"

  Scenario: One organisation's assets are as good as absent for another
    Given the pump "P-1" made by "Grundfos"
    When an engineer of another organisation asks for "P-1"
    Then it is refused because there is no such asset
    When an engineer of another organisation looks for pumps made by "Grundfos"
    Then nothing is found

Feature: Device types
  What holds for all devices of one kind is said once, by the name that the devices give as their type. Devices do not
  wait for it: a type may be defined before them, after them, or never. Some types come with the platform.

  Scenario: A device names a type that nobody has defined yet
    Given the device "boiler-7" of the type "boiler" is registered
    When an operator looks for the type "boiler"
    Then there is no such type
    When an operator defines the type "boiler" with the metric "temperature" in "°C"
    Then the type "boiler" has the metric "temperature" in "°C"

  Scenario: A definition is replaced as a whole
    Given an operator has defined the type "boiler" with the metric "temperature" in "°C"
    When an operator defines the type "boiler" with the metric "pressure" in "bar"
    Then the type "boiler" has the metric "pressure" in "bar"
    And the type "boiler" is at version 2

  Scenario: Of two operators who read the same definition only the first one's is taken
    Given an operator has defined the type "boiler" with the metric "temperature" in "°C"
    When an operator who read version 1 defines the type "boiler" with the metric "pressure" in "bar"
    And an operator who read version 1 defines the type "boiler" with the metric "flow" in "l/min"
    Then the definition is refused because it has another version
    And the type "boiler" has the metric "pressure" in "bar"

  Scenario: A metric has one name, and a range that begins before it ends
    When an operator defines the type "boiler" with two metrics "temperature"
    Then the definition is refused for its "metrics.1.name"
    When an operator defines the type "boiler" with a temperature from 90 to 10
    Then the definition is refused for its "metrics.0.max"

  Scenario: Engineers read what operators define, and devices do not
    Given an operator has defined the type "boiler" with the metric "temperature" in "°C"
    And the device "boiler-7" of the type "boiler" is registered
    When an engineer defines the type "boiler" with the metric "pressure" in "bar"
    Then the definition is refused because the caller's role does not allow it
    When "boiler-7" defines the type "boiler" with the metric "pressure" in "bar"
    Then the definition is refused because the device is not allowed
    And the type "boiler" has the metric "temperature" in "°C"

  Scenario: An organisation's types are its own
    Given an operator has defined the types "press, boiler, lift"
    Then an engineer finds the types "boiler, lift, press" beside the shipped ones
    And a stranger finds the shipped types alone

  Scenario: Some types are there without anybody defining them
    Then an engineer finds the shipped types "hvac, pump, robot, turbofan, vending-machine, water-heater"
    Given the device "pump-7" of the type "pump" is registered
    When "pump-7" sends temperature 21.5 and load 3 of 10:00
    Then the temperature of "pump-7" is in "°C"
    When an operator wants "pump-7" to be {"set_point_bar": 900}
    Then the change is refused for its "state.desired.set_point_bar"

  Scenario: An organisation says something else of a shipped type, and takes it back
    When an operator who read version 1 defines the type "pump" with the metric "flow" in "m³/h"
    Then the type "pump" has the metric "flow" in "m³/h"
    And the type "pump" is not as it was shipped
    When an operator takes back what was said of the type "pump"
    Then the type "pump" is as it was shipped
    And the type "pump" is at version 3
    When an operator takes back what was said of the type "pump"
    Then the definition is refused because there is nothing to take back

  Scenario: What was said of a type is taken away
    Given an operator has defined the type "boiler" with the metric "temperature" in "°C"
    When an engineer takes back what was said of the type "boiler"
    Then the definition is refused because the caller's role does not allow it
    When an operator takes back what was said of the type "boiler"
    And an operator looks for the type "boiler"
    Then there is no such type

  Scenario: What is said of a device is what its type lets it be
    Given an operator has defined the type "boiler" with the properties schema
      """
      {"properties": {"litres": {"type": "number", "minimum": 1}}, "required": ["litres"]}
      """
    When an operator registers "boiler-7" of the type "boiler" with the properties {"litres": 0}
    Then the description is refused for its "asset.properties.litres"
    When an operator registers "boiler-7" of the type "boiler" with the properties {"litres": 300, "maker": "Acme"}
    And an operator changes what is said of "boiler-7" by {"litres": null}
    Then the description is refused for its "properties"
    And what is said of "boiler-7" is {"litres": 300, "maker": "Acme"}

  Scenario: What a type says later counts when a description is next changed
    Given the device "boiler-7" of the type "boiler" is registered
    When an operator changes what is said of "boiler-7" by {"litres": 0}
    Then what is said of "boiler-7" is {"litres": 0}
    Given an operator has defined the type "boiler" with the properties schema
      """
      {"properties": {"litres": {"type": "number", "minimum": 1}}}
      """
    Then what is said of "boiler-7" is {"litres": 0}
    When an operator changes what is said of "boiler-7" by {"maker": "Acme"}
    Then the description is refused for its "properties.litres"
    When an operator changes what is said of "boiler-7" by {"maker": "Acme", "litres": 300}
    Then what is said of "boiler-7" is {"litres": 300, "maker": "Acme"}

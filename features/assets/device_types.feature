Feature: Device types
  What holds for all devices of one kind is said once, by the name that the devices give as their type. Devices do not
  wait for it: a type may be defined before them, after them, or never.

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
    Given an operator has defined the types "pump, boiler, robot"
    Then an engineer finds the types "boiler, pump, robot"
    And a stranger finds no type

Feature: What has to do with what
  Beside the one place where a thing stands, it may feed, cool or stand in for any other thing.

  Scenario: An engineer finds what a pump feeds, and what feeds a boiler
    Given the pump "pump" made by "Grundfos"
    And the boiler "boiler 1" made by "Viessmann"
    And the boiler "boiler 2" made by "Viessmann"
    When an operator says that "pump" "feeds" "boiler 1" with 4 bar
    And an operator says that "pump" "feeds" "boiler 2" with 3 bar
    And an operator says that "boiler 2" "stands-in-for" "boiler 1" with 0 bar
    Then "pump" "feeds" exactly "boiler 1, boiler 2"
    And "boiler 1" is what "pump" "feeds"
    And "boiler 1" is what "boiler 2" "stands-in-for"

  Scenario: What is said again replaces what was said
    Given the pump "pump" made by "Grundfos"
    And the boiler "boiler" made by "Viessmann"
    When an operator says that "pump" "feeds" "boiler" with 4 bar
    And an operator says that "pump" "feeds" "boiler" with 5 bar
    Then "pump" "feeds" "boiler" with 5 bar
    When an operator says that "pump" no longer "feeds" "boiler"
    Then "pump" "feeds" nothing

  Scenario: What was seen of a relationship that has ended changes none that is made after it
    Given the pump "pump" made by "Grundfos"
    And the boiler "boiler" made by "Viessmann"
    When an operator says that "pump" "feeds" "boiler" with 4 bar, and remembers it
    And an operator says that "pump" no longer "feeds" "boiler"
    And an operator says that "pump" "feeds" "boiler" with 5 bar
    And an operator says that "pump" "feeds" "boiler" with 3 bar, if it is as remembered
    Then it is refused because it has another version
    And "pump" "feeds" "boiler" with 5 bar

  Scenario: Water goes in circles, but nothing feeds itself
    Given the pump "pump" made by "Grundfos"
    And the boiler "boiler" made by "Viessmann"
    When an operator says that "pump" "feeds" "boiler" with 4 bar
    And an operator says that "boiler" "feeds" "pump" with 2 bar
    Then "boiler" "feeds" exactly "pump"
    When an operator tries to say that "pump" "feeds" "pump"
    Then it is refused because nothing has to do with itself

  Scenario: A relationship goes with either of the two
    Given the pump "pump" made by "Grundfos"
    And the boiler "boiler" made by "Viessmann"
    When an operator says that "pump" "feeds" "boiler" with 4 bar
    And an operator removes "boiler"
    Then "pump" "feeds" nothing

  Scenario: Nothing has to do with what belongs to others
    Given the pump "pump" made by "Grundfos"
    When an operator tries to say that "pump" "feeds" something of a stranger's
    Then it is refused because there is no such asset
    When a stranger asks what "pump" "feeds"
    Then it is refused because there is no such asset

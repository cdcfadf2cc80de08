Feature: Simulate a fleet
  A platform without devices can be tried with machines that are made up but behave like real ones.

  Scenario: A fleet with a history can be made up again from its seed
    When an operator simulates a day of a pump with the seed 7
    And an operator simulates a day of a pump with the seed 7
    Then the simulation succeeds
    And all of its points were duplicates

  Scenario: A simulated water heater takes over the set point it is asked for
    Given a water heater is simulated in real time
    When an operator desires the set point 71.5 of it
    Then within 10 seconds it reports the set point 71.5
    And it stops when it is told to

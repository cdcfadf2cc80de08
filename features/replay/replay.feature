Feature: Replay recorded data
  What a plant once recorded can be sent through the platform as if its devices spoke now. Nothing of it may get lost,
  and nothing may be stored twice.

  Scenario: Every point of the pump testbed's recordings arrives
    Given the recordings of the pump testbed
    When an operator replays them
    Then the replay succeeds
    And every device of the recordings has as many points as its file

  Scenario: Every point of engines run to failure arrives
    Given the recording of engines run to failure
    When an operator replays them
    Then the replay succeeds
    And every device of the recordings has as many points as its file
    And the log of every engine says that it failed at its last cycle

  Scenario: Replaying twice stores nothing twice
    Given a small recording of the pump testbed
    When an operator replays them
    And an operator replays them
    Then the replay succeeds
    And all of its points were duplicates
    And every device of the recordings has as many points as its file

  Scenario: A recording with a broken line says where it is broken
    Given a small recording of the pump testbed with a broken line 4
    When an operator replays them
    Then the replay fails and names line 4

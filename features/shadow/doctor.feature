Feature: Shadows and their journal are compared
  What the shadow store holds is held against the journal, so that whatever became of a shadow behind the platform's
  back is found and named.

  Scenario: A shadow that was altered in the store is named
    Given a platform of its own
    And on it the device "boiler-7" that reported and measured something
    When somebody with rights on the shadow store makes the shadow of "boiler-7" say something else
    And the doctor is asked about it
    Then the doctor says that the shadow of "boiler-7" is "with other content than the journal has"

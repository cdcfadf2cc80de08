Feature: How long readings are kept
  Readings are kept for ever, until the platform's operator says for how many days. All organisations share the store,
  so that none of them decides for the others.

  Scenario: The platform's operator says for how long readings are kept
    When the platform's operator says that readings are kept for 36500 days
    Then readings are kept for 36500 days
    And a reading of ten years ago is taken

  Scenario: Some metrics are kept for longer than others
    Given the platform's operator says that metrics like "vibration.*" are kept for 7 days
    When a device sends vibration and temperature of ten days ago
    Then its temperature is taken, and its vibration is rejected as expired

  Scenario: Nobody else decides that
    When our administrator says that readings are kept for 1 day
    Then it is refused because only the platform's operator may do it

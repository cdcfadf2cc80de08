Feature: Slow down those who ask too often
  Guessing leads nowhere, and whoever floods the platform is told when to come back; nobody else pays for it.

  Scenario: A stranger who guesses a password is slowed down, and the owner still gets in
    Given a user who has logged in at home
    When a stranger elsewhere tries 15 wrong passwords for the user
    Then the first 10 are refused as wrong, and the stranger is told to come back in half a minute at the most
    And the stranger is told the same with the right password
    But the user can log in at home

  Scenario: A stranger learns nothing from being slowed down
    Given a user who has logged in at home
    When a stranger elsewhere tries 12 wrong passwords for the user
    And another stranger tries as many for somebody who does not exist
    Then both have been told the same

  Scenario: A device that sends too much is told when to come back
    Given a platform that admits 5 requests of a device at once, and another every 30 seconds
    And on it the device "pump-1" and the device "pump-2"
    When "pump-1" asks 8 times
    Then 5 of them are answered, and it is told to come back in 30 seconds at the most
    But "pump-2" is still answered, and so are the operators

Feature: Give people access, and take it away
  An administrator says what each user of the organisation may do. What was said holds at once, also for those who are
  logged in; a user looks after the own password.

  Scenario: A role that is lowered is lower at once
    Given the operator "Olga" is logged in at the office
    When an administrator makes "Olga" a viewer
    And "Olga" registers the device "boiler-7" from the office
    Then it is refused because the role is too low
    And there is no device "boiler-7"
    And "Olga" is still logged in at the office

  Scenario: Who is removed is out, and so is what acts in their name
    Given the admin "Ada" is logged in at the office and with a browser
    And "Ada" has given the integration "billing" a key as operator
    When an administrator removes "Ada"
    Then "Ada" is logged out at the office
    And "Ada" is logged out of the browser
    And "Ada" cannot log in
    And within 1 second the key of "billing" is refused

  Scenario: A password that an administrator sets ends every session of the user
    Given the viewer "Vera" is logged in at the office and with a browser
    When an administrator sets a new password for "Vera"
    Then "Vera" is logged out at the office
    And "Vera" is logged out of the browser
    And "Vera" logs in with the new password alone

  Scenario: The last administrator stays
    When the only administrator makes themselves an operator
    Then it is refused because nobody else could administer
    When the only administrator removes themselves
    Then it is refused because nobody else could administer
    And the administrator can still list the users

  Scenario: An administrator may go when there is another one
    Given the admin "Ada" is logged in at the office
    When the administrator who was there first removes themselves
    And "Ada" removes themselves from the office
    Then it is refused because nobody else could administer
    And "Ada" is still logged in at the office

  Scenario: Who changes the password stays, and every other session ends
    Given the viewer "Vera" is logged in at the office and with a browser
    And "Vera" is logged in on the phone
    When "Vera" changes the password at the office
    Then "Vera" is still logged in at the office
    But "Vera" is logged out on the phone
    And "Vera" is logged out of the browser
    And "Vera" logs in with the new password alone

  Scenario: Who does not know the old password changes none
    Given the viewer "Vera" is logged in at the office
    And "Vera" is logged in on the phone
    When somebody at the office tries to change the password of "Vera" without knowing the old one
    Then it is refused because the old password is wrong
    And "Vera" is still logged in at the office
    And "Vera" is still logged in on the phone

  Scenario: A refresh token that two have shown ends the session
    Given the viewer "Vera" is logged in at the office
    And "Vera" is logged in on the phone
    And somebody has copied the refresh token from the phone
    When the phone gets "Vera" a new pair of tokens
    And somebody shows the refresh token that was copied
    Then it is refused because the credential is not valid
    And "Vera" is logged out on the phone
    But "Vera" is still logged in at the office

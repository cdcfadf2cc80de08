Feature: Work in a browser
  A user logs in with a browser and stays logged in without typing the password again. No other site can make
  the browser do anything in the user's name.

  Scenario: A user logs in, sees who they are, and logs out
    Given a browser that wants to see the first page
    Then the browser shows the log-in page
    When an operator logs in with the browser
    Then the browser shows the first page to the operator
    When the operator logs out with the browser
    Then the browser shows the log-in page
    And the browser is turned away from the first page

  Scenario: A page may do what its user may
    Given an operator is logged in with the browser
    When a page of the platform has the browser register the device "boiler-7"
    Then the device "boiler-7" is provisioned and was never seen

  Scenario: A foreign page can have nothing done in the user's name
    Given an operator is logged in with the browser
    When a foreign page has the browser register the device "boiler-7"
    Then it is refused because the request is forged
    And there is no device "boiler-7"

  Scenario: A foreign page cannot log the browser in or out
    Given a foreign page has the browser log in as an operator
    Then the browser shows that it is not permitted
    And the browser is turned away from the first page
    Given an operator is logged in with the browser
    When a foreign page has the browser log out
    Then the browser shows that it is not permitted
    And the browser shows the first page to the operator

  Scenario: A wrong password is told as little of as a wrong address
    When the browser logs in with a wrong password
    And another browser logs in with an unknown address
    Then both browsers show the same
    And the browser is turned away from the first page

  Scenario: After the log-in the browser is where it wanted to be, and never on another site
    When an operator follows a link to the log-in page that leads on to the API documentation
    Then the browser shows the API documentation
    When an operator follows a link to the log-in page that leads on to another site
    Then the browser shows that the link is not valid

  Scenario: What was copied from the browser opens nothing after the log-out
    Given an operator is logged in with the browser
    And somebody has copied the cookies of the browser
    When the operator logs out with the browser
    Then the copied cookies are worth nothing

  Scenario: A browser is remembered for as long as the user wishes
    When an operator logs in with the browser
    Then the browser is to forget the session after an hour
    When an operator logs in with the browser and wishes to be remembered
    Then the browser is to forget the session after 30 days

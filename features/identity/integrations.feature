Feature: Let programs in with keys of their own
  An administrator gives an integration a key: it acts in the organisation, with a role, until it is revoked.

  Scenario: A key is shown once
    When an administrator gives the integration "billing" a key as viewer
    Then "billing" is told that it is an integration with the role viewer
    And nobody is shown the key of "billing" again

  Scenario Outline: An integration may do what its role may, and no more
    Given an administrator has given the integration "billing" a key as <role>
    When "billing" registers the device "boiler-7"
    Then <outcome>

    Examples:
      | role     | outcome                                                 |
      | operator | the device "boiler-7" is provisioned and was never seen |
      | engineer | it is refused because the role is too low               |

  Scenario: A key that is revoked is refused within a second
    Given an administrator has given the integration "billing" a key as operator
    And "billing" is told that it is an integration with the role operator
    When an administrator revokes the key of "billing"
    Then within 1 second the key of "billing" is refused

  Scenario: A key never does more than who made it
    Given the admin "Ada" is logged in at the office
    And "Ada" has given the integration "billing" a key as operator
    And "billing" is told that it is an integration with the role operator
    When an administrator makes "Ada" a viewer
    Then within 1 second "billing" is told that it is an integration with the role viewer
    When "billing" registers the device "boiler-7"
    Then it is refused because the role is too low

  Scenario: An operator gives no keys
    When an operator tries to give the integration "billing" a key as viewer
    Then it is refused because the role is too low

  Scenario: A key is no user
    Given an administrator has given the integration "billing" a key as admin
    When "billing" tries to change a password
    Then it is refused because only a user has a password
    When "billing" tries to log out
    Then it is refused because there is no session
    And "billing" is told that it is an integration with the role admin

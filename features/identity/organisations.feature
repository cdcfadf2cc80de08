Feature: Keep organisations apart
  Everything belongs to one organisation, and for every other it is as good as absent. Only who operates the platform
  knows which organisations there are.

  Scenario: Nothing of another organisation is seen
    Given another organisation with a user, an integration key and a device
    When our administrator asks for each of them, and for the organisation itself
    Then each answer is the same as for what does not exist
    And no list of ours shows any of them

  Scenario: Nothing of another organisation is changed
    Given another organisation with a user, an integration key and a device
    When our administrator tries to change and to remove each of them, and to rename the organisation
    Then each answer is the same as for what does not exist
    And the other organisation is as it was

  Scenario: An integration of ours is a stranger to the others, too
    Given another organisation with a user, an integration key and a device
    And an administrator has given the integration "billing" a key as admin
    When "billing" asks for each of them, and for the organisation itself
    Then each answer is the same as for what does not exist

  Scenario: Only the platform's operator knows which organisations there are
    Given another organisation with a user, an integration key and a device
    When our administrator asks which organisations there are
    Then it is refused because only the platform's operator may do it
    When the platform's operator asks which organisations there are
    Then both organisations are among them

  Scenario: A name is given once
    Given another organisation with a user, an integration key and a device
    When our administrator gives our organisation the name of the other
    Then it is refused because the name is taken
    When our administrator gives our organisation a new name
    Then every user of ours sees the new name

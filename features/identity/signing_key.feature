Feature: Replace the key that signs access tokens
  The platform's operator replaces the key from time to time, or at once when it may have been seen. Nobody notices.

  Scenario: The key is replaced and nobody is logged out
    Given the viewer "Vera" is logged in at the office and with a browser
    When the platform's operator rotates the signing key on the machine that it runs on
    Then within 15 seconds new tokens are signed with the new key, and all the while "Vera" is logged in
    And "Vera" is logged in with every token that was ever given out
    And "Vera" is still logged in with the browser

Feature: The life of a platform
  One command starts everything, and stops it; what was stored is there again.

  Scenario: Everything is found again after a restart
    Given a platform of its own
    And on it the device "boiler-7" that reported and measured something
    When the platform is stopped and started again
    Then the device "boiler-7" is as it was before, in all four stores

  Scenario: A platform is stopped within ten seconds and leaves nothing running
    Given a platform of its own
    When the platform is stopped
    Then it ended in good order and nothing of it is running

  Scenario: A store that dies is started again and has lost nothing
    Given a platform of its own
    And on it the device "boiler-7" that reported and measured something
    When the servers of the stores are killed
    Then within 20 seconds the device "boiler-7" is as it was before, in all four stores

  Scenario: A port that is taken is said in one sentence
    Given another program listens on a port
    When a platform is started on that port
    Then it ends at once with one sentence that names the port, and exit status 1

  Scenario: A repeated request is done once
    When an operator registers "boiler-7" twice with the same idempotency key
    Then both answers are the same, and there is one device

  Scenario: The platform tells what it is made of
    When somebody asks whether the platform is ready
    Then all four stores are up, each with its engine

  Scenario: A demonstration keeps a fleet running
    When a platform is started with a demonstration
    Then within 60 seconds each of its nine machines is online and has measured something

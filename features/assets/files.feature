Feature: Assets from a file, and into one
  A site's engineer has its machines in a spreadsheet: what there is, and what is part of what. Operators bring it in with
  one file, put the devices that report in their places, take all of it out again, change it there and put it back.

  Background:
    Given the device "pump-7" is registered
    And the device "pump-8" is registered

  Scenario: A site comes in one spreadsheet, and its devices find their places
    When an operator imports the assets
      """
      key,parent_key,serial_number,asset_type,name,properties.rated_power_kw,properties.maker
      site,,,site,Harburg,,
      hall,site,,hall,Hall A,,
      line,hall,,line,Line 1,,
      ,line,SN-pump-7,,,1.5,Grundfos
      ,line,SN-pump-8,,Pump 8,0.75,
      ,line,,valve,Valve 3,,
      """
    Then its lines are told: created, created, created, updated, updated, created
    And all that is below "Harburg" is "Hall A, Line 1, pump-7, Pump 8, Valve 3"
    And the rated power of "pump-7" is 1.5

  Scenario: A bad line costs no other but what would be below it
    When an operator imports the assets
      """
      key,parent_key,serial_number,asset_type,name
      site,,,site,Harburg
      hall,site,,Hall,Hall A
      line,hall,,line,Line 1
      ,later,,line,Line 2
      ,site,SN-none,,Pump 9
      later,site,,hall,Hall B
      """
    Then its lines are told: created, rejected, rejected, rejected, rejected, created
    And all that is below "Harburg" is "Hall B"

  Scenario Outline: What is taken out and put back changes nothing
    Given the assets
      """
      site
        hall A
          =line 1
      yard
      """
    When an operator exports the assets as <form>
    And an operator imports the exported assets
    Then every line is unchanged

    Examples:
      | form          |
      | lines of JSON |
      | a spreadsheet |

  Scenario: A line that is moved in the file is moved with all that belongs to it
    Given the assets
      """
      site
        hall A
          line 1
            valve
        hall B
      """
    When an operator says in a file that "line 1" is part of "hall B"
    Then all that is below "site" is "hall A, hall B, line 1, valve"

  Scenario: A site is copied to another organisation
    Given the assets
      """
      site
        hall A
          line 1
      """
    When an operator puts "pump-7" into "hall A"
    And an operator exports the assets as lines of JSON
    And an operator of another organisation that has "pump-7" copies them
    Then there "site" has "hall A, pump-7, line 1" below it

  Scenario: A viewer neither imports nor exports
    When a viewer exports the assets
    Then it is refused because the role is too low
    When a viewer imports the assets
    Then it is refused because the role is too low

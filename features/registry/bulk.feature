Feature: Import and export devices
  Operators bring a whole fleet in with one file, and take it out again. Every line is answered for by itself.

  Scenario: A file of a thousand devices is registered in one go
    When an operator imports a file of 1000 devices
    Then every line of it is created
    And the device of the last line has an asset and an empty shadow

  Scenario: A bad line costs no other
    Given "boiler-7" is registered under the serial number "SN-7"
    When an operator imports a new device, the serial number "SN-7", a broken line and a new device
    Then the lines are told: created, serial number taken, unreadable, created

  Scenario: A spreadsheet of devices is imported
    When an operator imports a spreadsheet with the columns "serial_number, device_type, name, label.site" and the row "SN-1, boiler, Boiler 1, north"
    Then every line of it is created
    And the device with the serial number "SN-1" is called "Boiler 1" and has the label "site" with the value "north"

  Scenario: A spreadsheet with a column that nobody knows changes nothing
    When an operator imports a spreadsheet with the columns "serial_number, device_type, colour" and the row "SN-1, boiler, red"
    Then the file is refused because a column is not known
    And the organisation has no devices

  Scenario Outline: What was taken out of one organisation comes into another as it was
    Given the device "boiler-7" is registered
    And the device "=7,"old"" is registered
    And an operator suspends the device "boiler-7"
    When an operator exports all devices as <form>
    And an operator of another organisation imports that file
    Then every line of it is created
    And both organisations have the same devices, names, labels and states

    Examples:
      | form          |
      | lines of JSON |
      | a spreadsheet |

  Scenario: A file sent twice registers every device once
    When an operator imports a file of 20 devices
    And an operator imports the same file again
    Then every line of it is refused because the serial number is taken

  Scenario: Who lost the answer sends the file again under the same idempotency key
    When an operator imports a file of 20 devices under an idempotency key, twice
    Then both answers are the same, and there are 20 devices

  Scenario: A viewer neither imports nor exports
    When a viewer imports a file of 1 devices
    Then it is refused because the role is too low
    When a viewer exports all devices
    Then it is refused because the role is too low

from iotsphere.cli.main import main

main()

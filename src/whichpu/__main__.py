from whichpu.cli import main

main()

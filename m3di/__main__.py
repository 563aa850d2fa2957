"""`python -m m3di`: the command line."""

from m3di.cli.main import main

if __name__ == "__main__":
    main()

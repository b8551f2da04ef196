"""``python -m chandra_bin``: the command line."""

from chandra_bin.cli import main

if __name__ == "__main__":
    main()

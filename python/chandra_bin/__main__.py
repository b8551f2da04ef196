"""``python -m chandra_bin``: the command line."""

from .cli import main

if __name__ == "__main__":
    main()

"""`python -m lure`: the same as `lure`."""

from lure.cli import main

if __name__ == "__main__":
    main()

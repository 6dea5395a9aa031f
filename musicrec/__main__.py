"""`python -m musicrec` is the `musicrec` command."""

import sys

from musicrec.cli import main

if __name__ == "__main__":
    sys.exit(main())

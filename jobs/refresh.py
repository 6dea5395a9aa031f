"""The nightly run: songs in, recommendations out.

`spark-submit jobs/refresh.py ...` is `musicrec refresh ...`.
"""

import sys

from musicrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["refresh", *sys.argv[1:]]))

"""The neighbor join alone: ids and vectors in, the k nearest of each out.

`spark-submit jobs/neighbors.py ...` is `musicrec neighbors ...`.
"""

import sys

from musicrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["neighbors", *sys.argv[1:]]))

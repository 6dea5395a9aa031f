"""The neighbor join alone: ids and vectors in, the k nearest of each out.

`spark-submit jobs/neighbors.py ...` is `musicrec neighbors ...`.
"""

import sys

from musicrec.cli import run_command

if __name__ == "__main__":
    run_command(["neighbors", *sys.argv[1:]])

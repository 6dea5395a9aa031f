"""The nightly run: songs in, recommendations out.

`spark-submit jobs/refresh.py ...` is `musicrec refresh ...`.
"""

import sys

from musicrec.cli import run_command

if __name__ == "__main__":
    run_command(["refresh", *sys.argv[1:]])

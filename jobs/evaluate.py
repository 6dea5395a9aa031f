"""Quality of the encoder against baselines, on artists that it has never seen.

`spark-submit jobs/evaluate.py ...` is `musicrec evaluate ...`.
"""

import sys

from musicrec.cli import run_command

if __name__ == "__main__":
    run_command(["evaluate", *sys.argv[1:]])

"""Quality of the encoder against baselines, on artists that it has never seen.

`spark-submit jobs/evaluate.py ...` is `musicrec evaluate ...`.
"""

import sys

from musicrec.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))

"""Quality of the encoder against baselines, on artists that it has never seen."""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import SparkSession

from musicrec.config import Config
from musicrec.evaluation.evaluate import evaluate
from musicrec.evaluation.table import as_text
from musicrec.launch import make_parser, run_job
from musicrec.storage import plain


def main() -> int:
    """Parse the command line, evaluate, print the table and return the exit code."""
    parser = make_parser("Train on three quarters of the artists and judge the lists of the others.")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the result as JSON, too")
    arguments = parser.parse_args()

    def work(session: SparkSession, config: Config) -> None:
        result = evaluate(session, config)
        print(as_text(result))
        if arguments.output:
            arguments.output.write_text(plain.as_json(plain.without_nan(result)))

    return run_job(arguments, work, name="musicrec evaluate")


if __name__ == "__main__":
    sys.exit(main())

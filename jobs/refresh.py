"""The nightly run: songs in, recommendations out."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime

from pyspark.sql import SparkSession

from musicrec.config import Config
from musicrec.launch import make_parser, run_job
from musicrec.refresh import plan, refresh


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    parser = make_parser("Clean the catalog, train the encoder, join all songs and publish the top-k.")
    parser.add_argument(
        "--run-date", metavar="YYYY-MM-DD", type=date.fromisoformat, default=datetime.now(UTC).date(),
        help="the day that the run is for; today (UTC) by default",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="check input and output, write nothing")
    arguments = parser.parse_args()

    def work(session: SparkSession, config: Config) -> None:
        if arguments.dry_run:
            for name, value in plan(session, config).items():
                print(f"{name}: {value}")
            return
        print(refresh(session, config, run_date=arguments.run_date))

    return run_job(arguments, work, name="musicrec refresh")


if __name__ == "__main__":
    sys.exit(main())

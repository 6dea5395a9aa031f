"""What every job shares around its work: arguments, logging, the session, and the exit code of a failure."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import SparkSession

from musicrec.config import Config, load_config
from musicrec.errors import MusicrecError, shorten
from musicrec.spark.failures import SPARK_ERRORS, describe_error
from musicrec.spark.session import open_session

BASE = Path(__file__).parents[1] / "conf" / "base.toml"


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all jobs share."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="TOML file that overrides conf/base.toml")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="override one key",
    )
    parser.add_argument("--debug", action="store_true", help="print the trace of a failure")
    return parser


def read_config(arguments: argparse.Namespace) -> Config:
    """Return conf/base.toml, then --config, then --set, merged.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    # The models hold the same defaults, for where the package travels without its conf directory.
    layers = [file for file in (BASE if BASE.exists() else None, arguments.config) if file]
    return load_config(files=layers, overrides=arguments.overrides)


def run_job(arguments: argparse.Namespace, work: Callable[[SparkSession, Config], object], *, name: str) -> int:
    """Run `work` in a session and return the exit code; a failure prints at most five lines on stderr."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("musicrec").setLevel(logging.INFO)
    return exit_code_of(lambda: _with_session(arguments, work, name=name), debug=arguments.debug)


def exit_code_of(action: Callable[[], object], *, debug: bool) -> int:
    """Run `action` and return 0, or the exit code of its failure after saying what failed."""
    try:
        action()
    except MusicrecError as error:
        _say(str(error), debug=debug)
        return error.exit_code
    except KeyboardInterrupt:
        _say("error: interrupted; what was published before is still live", debug=False)
        return 130
    # The last resort: whatever it is, the user gets a sentence and a non-zero exit, not 200 lines of frames.
    except Exception as error:
        kind = describe_error(error) if isinstance(error, SPARK_ERRORS) else shorten(str(error))
        _say(
            f"error: unexpected {type(error).__name__}: {kind}\n"
            "where: what was published before is still live\n"
            "to do: run again with --debug for the trace",
            debug=debug,
        )
        return 1
    return 0


def _with_session(
    arguments: argparse.Namespace, work: Callable[[SparkSession, Config], object], *, name: str
) -> None:
    config = read_config(arguments)
    session = open_session(config.spark, app_name=name)
    try:
        work(session, config)
    finally:
        session.stop()


def _say(text: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    sys.stderr.write(text.rstrip() + "\n")

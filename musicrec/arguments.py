"""The command line of `musicrec`: commands, their arguments, and what is refused before anything is done."""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from typing import NoReturn

from musicrec import __version__, console, exits
from musicrec.errors import ConfigError
from musicrec.operations.arguments import Commands, add_command, add_operations, positive


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as any other error is said."""

    def error(self, message: str) -> NoReturn:
        """Say it, and end the process."""
        self.exit(exits.USAGE, f"{ConfigError(message, todo=f'{self.prog} --help')}\n")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="musicrec", description="Turn a catalog of songs into recommendations.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"musicrec {__version__}")
    # What commands without these arguments do.
    parser.set_defaults(log="auto", level=console.NORMAL, debug=False)
    commands: Commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_refresh, _add_neighbors, _add_evaluate, _add_similar, _add_doctor, _add_config):
        add(commands)
    add_operations(commands)
    return parser


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="TOML file that overrides the defaults")
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="SECTION.KEY=VALUE",
        action="append",
        default=[],
        help="override one key",
    )


def _add_job_options(parser: argparse.ArgumentParser) -> None:
    _add_config_options(parser)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--log",
        choices=console.LOOKS,
        default="auto",
        help="text or json: a line or an object each, at once; auto: what suits a terminal, elsewhere text that "
        "waits for 30 s, so that a run that fails before only says why",
    )
    levels = shown.add_mutually_exclusive_group()
    for flags, level, text in (
        (("-q", "--quiet"), console.QUIET, "only warnings and errors"),
        (("-v", "--verbose"), console.VERBOSE, "also what only an expert reads, such as each epoch"),
    ):
        levels.add_argument(
            *flags, dest="level", action="store_const", const=level, default=console.NORMAL, help=text
        )
    shown.add_argument("--debug", action="store_true", help="print the trace of a failure")


def _add_refresh(commands: Commands) -> None:
    parser = add_command(
        commands, "refresh",
        text="clean the catalog, train the encoder, join all songs and publish their lists",
        example="musicrec refresh --set input.tracks=songs.csv --set output.root=/data/lists",
    )  # fmt: skip
    parser.add_argument(
        "--run-date", metavar="YYYY-MM-DD", type=_date, default=datetime.now(UTC).date(),
        help="the day that the run is for; today (UTC) by default",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="check input and output, write nothing")
    parser.add_argument(
        "--accept", metavar="REASON", type=_reason,
        help="publish although a gate of [gates] would stop it; the reason stands in the manifest",
    )  # fmt: skip
    parser.add_argument(
        "--promote", action="store_true",
        help="make the result current also where what is current is of a later day",
    )  # fmt: skip
    _add_job_options(parser)


def _add_neighbors(commands: Commands) -> None:
    parser = add_command(
        commands, "neighbors",
        text="write the k nearest neighbors of each vector, and the recall as measured",
        example="musicrec neighbors --vectors vectors/ --output out/ --target-recall 0.95",
    )  # fmt: skip
    parser.add_argument("--vectors", required=True, metavar="URI", help="Parquet with an id and a vector column")
    parser.add_argument("--output", required=True, metavar="URI", help="gets neighbors/*.parquet and report.json")
    parser.add_argument("--k", type=int, metavar="K", help="neighbors per vector; 10 by default")
    parser.add_argument(
        "--target-recall", type=float, metavar="SHARE", help="share of the true nearest; 0.98 by default"
    )
    parser.add_argument("--metric", choices=("cosine", "dot", "euclidean"), default="cosine")
    parser.add_argument("--id-column", default="id", metavar="NAME", help="string or whole number")
    parser.add_argument("--vector-column", default="vector", metavar="NAME", help="array of float or double")
    parser.add_argument("--overwrite", action="store_true", help="replace what the output holds")
    _add_job_options(parser)


def _add_evaluate(commands: Commands) -> None:
    parser = add_command(
        commands, "evaluate",
        text="train on three quarters of the artists and judge the lists of the others",
        example="musicrec evaluate --set input.tracks=songs.csv --output quality.json",
    )  # fmt: skip
    parser.add_argument("--output", metavar="FILE", help="write the result as JSON, too")
    parser.add_argument("--write", metavar="FILE", help="replace the section `quality` of this document, too")
    _add_job_options(parser)


def _add_similar(commands: Commands) -> None:
    parser = add_command(
        commands, "similar",
        text="print the published recommendations of a song; starts no Spark",
        example="musicrec similar 4uLU6hMCjMI75M1A2tKUQC --root /data/lists -k 5",
    )  # fmt: skip
    parser.add_argument("track_id", help="also a URI or URL of the song")
    parser.add_argument("--root", required=True, metavar="URI", help="output.root of the refresh")
    parser.add_argument("-k", type=positive, default=10, help="how many (10)")


def _add_doctor(commands: Commands) -> None:
    parser = add_command(
        commands, "doctor",
        text="check Java, workers, versions, space and what is published",
        example="musicrec doctor --root /data/lists",
    )  # fmt: skip
    parser.add_argument(
        "--root", metavar="URI", help="also check that runs can write there, and each published file"
    )


def _add_config(commands: Commands) -> None:
    parser = add_command(
        commands, "config",
        text="print every key of the configuration with its default, unit and reason",
        example="musicrec config --resolved --config musicrec.toml",
    )  # fmt: skip
    parser.add_argument("--resolved", action="store_true", help="print the values in effect instead")
    _add_config_options(parser)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a day as YYYY-MM-DD, found {text!r}") from None


def _reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must say why, e.g. 'the catalog was cut on purpose'")
    return text.strip()

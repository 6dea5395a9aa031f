"""The command lines of what operators do, without a JVM."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[Any]"
else:
    Commands = object

OPERATIONS = ("status", "history", "rollback", "diff", "gc", "unlock", "sql", "iceberg")
DIALECTS = ("duckdb", "spark", "trino", "athena")


def add_command(commands: Commands, name: str, *, text: str, example: str) -> argparse.ArgumentParser:
    """Add a command and return its parser.

    Parameters
    ----------
    commands : argparse's subparsers
    name : str
    text : str
        What it does, as `--help` says it.
    example : str
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def add_operations(commands: Commands) -> None:
    """Add all commands of this room."""
    for add in (_add_status, _add_history, _add_rollback, _add_diff, _add_gc, _add_unlock, _add_sql, _add_iceberg):
        parser = add(commands)
        parser.add_argument("--root", required=True, metavar="URI", help="output.root of the refresh")


def positive(text: str) -> int:
    """Return a whole number of at least 1.

    Raises
    ------
    argparse.ArgumentTypeError
        It is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, found {text!r}")
    return int(text)


def _add_status(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "status",
        text="say what is live, how the last run ended, and exit with 1 where something is not well",
        example="musicrec status --root s3://bucket/lists --max-age 26h",
    )  # fmt: skip
    parser.add_argument("--max-age", metavar="SPAN", help="how old what is live may be, such as 90m, 26h or 2d")
    return parser


def _add_history(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "history",
        text="list the versions that were published, the latest first",
        example="musicrec history --root /data/lists -n 50",
    )  # fmt: skip
    parser.add_argument("-n", type=positive, default=20, help="how many (20)")
    return parser


def _add_rollback(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "rollback",
        text="make an earlier snapshot live again, as a new version; it stays until the next rollback",
        example="musicrec rollback --root /data/lists --to 2026-05-06-001",
    )  # fmt: skip
    parser.add_argument("--to", default="", metavar="RUN", help="by default the one that was live before")
    return parser


def _add_diff(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "diff",
        text="compare two published runs: songs that are new or gone, places of lists that changed, scores",
        example="musicrec diff 2026-05-05-001 2026-05-06-001 --root /data/lists",
    )  # fmt: skip
    parser.add_argument("before", metavar="RUN")
    parser.add_argument("after", metavar="RUN")
    return parser


def _add_gc(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "gc",
        text="delete snapshots that are no longer kept, and what failed runs left",
        example="musicrec gc --root s3://bucket/lists --dry-run",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and delete nothing")
    parser.add_argument("--config", metavar="FILE", help="TOML file whose [output] says what is kept")
    return parser


def _add_unlock(commands: Commands) -> argparse.ArgumentParser:
    return add_command(
        commands, "unlock",
        text="free the lease of a run whose process is gone; of a store alone, as a directory's lock frees itself",
        example="musicrec unlock --root s3://bucket/lists",
    )  # fmt: skip


def _add_sql(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "sql",
        text="print statements that make the published tables known to an engine",
        example="musicrec sql --root s3://bucket/lists --dialect trino",
    )  # fmt: skip
    parser.add_argument("--dialect", required=True, choices=DIALECTS)
    return parser


def _add_iceberg(commands: Commands) -> argparse.ArgumentParser:
    parser = add_command(
        commands, "iceberg",
        text="have the tables of a catalog of Iceberg name the files of what is live, as runs and rollbacks do",
        example="musicrec iceberg --root s3://bucket/lists --catalog lake.music",
    )  # fmt: skip
    parser.add_argument("--catalog", default="", metavar="CATALOG.NAMESPACE", help="by default the live run's")
    return parser

"""What is done for the command lines of this room."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable

from musicrec import console
from musicrec.config import load_config
from musicrec.errors import ConfigError
from musicrec.operations import diff, sql, versions
from musicrec.operations.shown_times import span_of
from musicrec.operations.status import report_status
from musicrec.storage import iceberg
from musicrec.storage.lease import unlock
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import Root, open_root


def run_operation(arguments: argparse.Namespace) -> int:
    """Do what a command line of this room says, and return the exit code.

    Raises
    ------
    MusicrecError
        One of its kinds.
    """
    return _OPERATIONS[arguments.command](open_root(arguments.root), arguments)


def _status(root: Root, arguments: argparse.Namespace) -> int:
    max_age_s = span_of(arguments.max_age) if arguments.max_age else None
    lines, faults = report_status(root, max_age_s=max_age_s)
    console.show_result("\n".join([*lines, *(f"not well   {fault}" for fault in faults)]))
    return 1 if faults else 0


def _history(root: Root, arguments: argparse.Namespace) -> int:
    versions.print_history(root, n=arguments.n)
    return 0


def _rollback(root: Root, arguments: argparse.Namespace) -> int:
    before = iceberg.catalog_of(root)
    entry = versions.rollback(root, to=arguments.to)
    console.show_result(f"{entry['run_id']} is live, as version {entry['version']}")
    with contextlib.ExitStack() as both:
        # Where one of two catalogs fails the other follows all the same.
        for name in dict.fromkeys((before, iceberg.catalog_of(root))):
            both.callback(iceberg.follow, root, name)
    return 0


def _diff(root: Root, arguments: argparse.Namespace) -> int:
    runs = {"before": arguments.before, "after": arguments.after}
    console.show_result("\n".join(diff.as_lines(diff.compare(root, **runs), **runs)))
    return 0


def _gc(root: Root, arguments: argparse.Namespace) -> int:
    keep = load_config(files=[arguments.config] if arguments.config else []).output
    gone = versions.collect_garbage(root, keep, is_trial=arguments.dry_run)
    verb = "would delete" if arguments.dry_run else "deleted"
    console.show_result("\n".join([*(f"{verb} {name}" for name in gone), f"{verb} {len(gone)} places"]))
    return 0


def _unlock(root: Root, _: argparse.Namespace) -> int:
    held = unlock(root)
    console.show_result(f"freed the lease of {held}" if held else "nobody holds the lock")
    return 0


def _sql(root: Root, arguments: argparse.Namespace) -> int:
    console.show_result("\n\n".join(sql.statements(root, dialect=arguments.dialect)))
    return 0


def _iceberg(root: Root, arguments: argparse.Namespace) -> int:
    read_pointer(root)
    name = arguments.catalog or iceberg.catalog_of(root)
    if not name:
        todo = "give --catalog CATALOG.NAMESPACE, or set output.iceberg_catalog for the runs"
        raise ConfigError("the run that is live has no catalog of Iceberg", where=root.uri, todo=todo)
    iceberg.check_catalog(root, name)
    changed = iceberg.follow(root, name)
    console.show_result("\n".join(f"changed {name}.{table}" for table in changed) or f"{name} is as it should be")
    return 0


_OPERATIONS: dict[str, Callable[[Root, argparse.Namespace], int]] = {
    "status": _status,
    "history": _history,
    "rollback": _rollback,
    "diff": _diff,
    "gc": _gc,
    "unlock": _unlock,
    "sql": _sql,
    "iceberg": _iceberg,
}

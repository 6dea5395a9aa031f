#!/usr/bin/env python3
"""Print a digest of the rows of each published table, so that two runs can be compared.

Equal rows give equal digests, whatever their order and however many files they stand in.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from musicrec.errors import MusicrecError
from musicrec.storage import runs
from musicrec.storage.pointer import read_pointer, snapshot_of
from musicrec.storage.rows import RowFiles

TABLES = ("recommendations", "user_recommendations", "status")
# Rows that only one of two roots has, printed at most.
N_SHOWN = 40


@dataclass(frozen=True)
class Digest:
    """What a table holds."""

    table: str
    n_rows: int
    sha256: str


def digest_rows(rows: pa.Table) -> str:
    """Return the SHA-256 of the columns' names, types and values, with the rows in the order of all columns."""
    in_order = rows.sort_by([(name, "ascending") for name in rows.column_names])
    digest = hashlib.sha256()
    for field in rows.schema:
        digest.update(f"{field.name!r} {field.type}\n".encode())
        # repr tells missing from "None", -0.0 from 0.0, and every float from its neighbor.
        digest.update("".join(f"{value!r}\n" for value in in_order.column(field.name).to_pylist()).encode())
    return digest.hexdigest()


def read_tables(root: str) -> dict[str, pa.Table]:
    """Return the current snapshot's tables by name; one that was not published is missing.

    Raises
    ------
    StorageError
        Nothing is published there.
    """
    opened = runs.open_root(root)
    snapshot = snapshot_of(opened, read_pointer(opened))
    files = {name: RowFiles(snapshot.below(name)) for name in TABLES}
    return {name: some.read() for name, some in files.items() if some.pieces()}


def digest_root(root: str) -> list[Digest]:
    """Return the digests of the current snapshot's tables, as `read_tables`."""
    return [Digest(name, rows.num_rows, digest_rows(rows)) for name, rows in read_tables(root).items()]


def differences(left: str, right: str) -> list[str]:
    """Return a line for each row that only one of two roots has: where to begin to look for the reason.

    Where a table's columns differ, that is told, and rows are not compared.
    """
    tables = [read_tables(root) for root in (left, right)]
    lines = []
    for name in TABLES:
        one, other = (found.get(name) for found in tables)
        if one is None or other is None or one.schema != other.schema:
            columns = ["none" if each is None else str(each.schema).replace("\n", ", ") for each in (one, other)]
            lines += [] if one is other else [f"{name}: {columns[0]} in {left}, {columns[1]} in {right}"]
        elif digest_rows(one) != digest_rows(other):
            rows = [Counter(map(repr, each.to_pylist())) for each in (one, other)]
            for root, only in ((left, rows[0] - rows[1]), (right, rows[1] - rows[0])):
                lines += [f"only in {root}: {name} {row}" for row in sorted(only)]
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per root and table: root, table, rows, digest; return 1 where roots to compare differ."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("roots", metavar="ROOT", nargs="+", help="the output.root of a run")
    parser.add_argument("--compare", action="store_true", help="exit with 1 where two roots differ")
    parsed = parser.parse_args(arguments)
    try:
        digests = [digest_root(root) for root in parsed.roots]
    except MusicrecError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for root, found in zip(parsed.roots, digests, strict=True):
        for digest in found:
            print(f"{Path(root).name} {digest.table} {digest.n_rows} {digest.sha256[:16]}")
    others = [root for root, found in zip(parsed.roots, digests, strict=True) if found != digests[0]]
    if not parsed.compare or not others:
        return 0
    lines = differences(parsed.roots[0], others[0])
    print("\n".join(lines[:N_SHOWN]), file=sys.stderr)
    print(f"error: the roots hold different rows: {len(lines)} differences", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Measure how the neighbor join grows: the first N vectors of a directory, or of a hard set, a line for each N."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from growth import MeasuredJoin, as_measured, check_sizes, growth_lines
from vector_sets import FILE_ROWS, MAKERS, ROOT, make_data
from watching import GIB, run_watched

from musicrec.errors import MusicrecError
from musicrec.storage.sections import open_section

NAMES = (
    "set", "vectors", "wall, s", "join, s", "recall (95 % at least)", "pairs an item", "max / mean task",
    "shuffle, GB", "peak, GB",
)  # fmt: skip
HEADER = (f"| {' | '.join(NAMES)} |", f"|---|{'---:|' * (len(NAMES) - 1)}")


def write_first(source: Path, target: Path, *, n: int) -> None:
    """Write the first `n` rows of the Parquet files of `source`; whole files are linked.

    Parameters
    ----------
    source : path
        A directory of Parquet files.
    target : path
        A directory to make.
    n : int
    """
    target.mkdir(parents=True)
    for path in sorted(source.glob("*.parquet")):
        n_rows = pq.read_metadata(path).num_rows
        if n_rows <= n:
            os.symlink(path.resolve(), target / path.name)
        elif n > 0:
            pq.write_table(pq.read_table(path).slice(0, n), target / path.name, row_group_size=FILE_ROWS)
        n -= min(n, n_rows)
    if n:
        raise SystemExit(f"{source} has {n} rows too few")


def measure(source: Path, *, n: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Join the first `n` vectors; return the job's report, with its peak memory in bytes.

    Parameters
    ----------
    source : path
        A directory of Parquet files (id, vector).
    n : int
    arguments : Namespace
        As `parse` returns them.
    """
    with tempfile.TemporaryDirectory(prefix="musicrec-scaling-") as scratch:
        vectors, output = Path(scratch) / "vectors", Path(scratch) / "output"
        write_first(source, vectors, n=n)
        command = [sys.executable, str(ROOT / "jobs/neighbors.py"), "--vectors", str(vectors)]
        command += ["--output", str(output), "--k", str(arguments.k)]
        command += ["--target-recall", str(arguments.target_recall)]
        command += ["--set", f"spark.driver_memory={arguments.driver_memory}"]
        command += ["--set", f"spark.master=local[{arguments.threads}]"]
        job = run_watched(command)
        if job.returncode:
            raise SystemExit(f"{n} vectors: exit code {job.returncode}:\n{job.err[-2000:]}")
        report: dict[str, Any] = json.loads((output / "report.json").read_text())
        return {**report, "peak": job.watch.peak(job.started, job.ended)}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--vectors", type=Path, metavar="DIR", help="Parquet (id, vector)")
    source.add_argument("--data", nargs="+", choices=list(MAKERS), metavar="NAME", help=f"of {', '.join(MAKERS)}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], metavar="N")
    parser.add_argument("--target-recall", type=float, default=0.98, metavar="SHARE")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--driver-memory", default="8g", metavar="SIZE")
    parser.add_argument(
        "--write", metavar="FILE",
        help="replace sections of this document, too: scaling and growth, or with --data hard-sets",
    )  # fmt: skip
    return parser.parse_args(words)


def run(arguments: argparse.Namespace) -> None:
    """Measure each size of each set, print a table and write it where it is wanted."""
    sections = {name: open_section(arguments.write, name) for name in section_names(arguments)}
    if "growth" in sections:
        check_sizes(arguments.sizes)
    lines = list(HEADER)
    rows: list[MeasuredJoin] = []
    print("\n".join(HEADER))
    with tempfile.TemporaryDirectory(prefix="musicrec-scaling-") as scratch:
        for name in arguments.data or [arguments.vectors.name]:
            directory = arguments.vectors or make_data(
                name, Path(scratch) / name, n_songs=max(arguments.sizes), memory=arguments.driver_memory
            )
            for n in arguments.sizes:
                found = measure(directory, n=n, arguments=arguments)
                lines.append(f"| {name} | {' | '.join(_cells(n, found))} |")
                rows.append(as_measured(found, n_threads=arguments.threads))
                print(lines[-1], flush=True)
                # After each size: the next may take hours.
                if table := sections.get("hard-sets") or sections.get("scaling"):
                    table.write("\n".join(lines))
    if "growth" in sections:
        sections["growth"].write("\n".join(growth_lines(rows)))


def section_names(arguments: argparse.Namespace) -> list[str]:
    """Return the sections that will be written, that of the table first."""
    if not arguments.write:
        return []
    return ["hard-sets"] if arguments.data else ["scaling", "growth"]


def main() -> int:
    """Parse the command line, measure, print and write."""
    try:
        run(parse())
    except MusicrecError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _cells(n: int, found: dict[str, Any]) -> list[str]:
    seconds = {stage["stage"]: stage["seconds"] for stage in found["stages"]}
    return [
        f"{n:,}",
        f"{found['seconds']:.1f}",
        f"{seconds['join']:.1f}",
        f"{found['recall_at_k']:.4f} ({found['recall_lower_95']:.4f})",
        f"{found['pairs_per_item']:,.0f}",
        f"{found['max_over_mean_task']:.2f}",
        f"{found['shuffle_bytes'] / GIB:.2f}",
        f"{found['peak'] / GIB:.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main())

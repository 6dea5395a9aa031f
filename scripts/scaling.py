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
from vector_sets import FILE_ROWS, MAKERS, ROOT, make_data
from watching import GIB, run_watched


def write_first(source: Path, target: Path, *, n: int) -> None:
    """Write the first `n` rows of the Parquet files of `source`; whole files are linked."""
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
    """Join the first `n` vectors; return the job's report, with its peak memory in bytes."""
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


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--vectors", type=Path, metavar="DIR", help="Parquet (id, vector)")
    source.add_argument("--data", nargs="+", choices=list(MAKERS), metavar="NAME", help=f"of {', '.join(MAKERS)}")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000], metavar="N")
    parser.add_argument("--target-recall", type=float, default=0.98, metavar="SHARE")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2, metavar="N")
    parser.add_argument("--driver-memory", default="8g", metavar="SIZE")
    arguments = parser.parse_args()
    names = ("set", "vectors", "wall, s", "join, s", "recall (95 % at least)", "pairs an item", "max / mean task")
    print(f"| {' | '.join((*names, 'shuffle, GB', 'peak, GB'))} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="musicrec-scaling-") as scratch:
        for name in arguments.data or [arguments.vectors.name]:
            directory = arguments.vectors or make_data(
                name, Path(scratch) / name, n_songs=max(arguments.sizes), memory=arguments.driver_memory
            )
            for n in arguments.sizes:
                print(
                    f"| {name} | {' | '.join(_cells(n, measure(directory, n=n, arguments=arguments)))} |",
                    flush=True,
                )
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

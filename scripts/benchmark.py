"""Measure the refresh on generated songs: wall time and peak memory of each stage, as Markdown tables.

Memory is that of the job and all its children (JVM, Python workers), summed four times a second; a page that
several processes share counts once (proportional set size, where the system tells it, else resident size).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
GIB = 2**30


class MemoryWatch:
    """Samples the memory of a process and its children until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, int]] = []
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the sampling."""
        self._done.set()
        self._thread.join()

    def peak(self, start: float, stop: float) -> int:
        """Return the largest sum in bytes between two times (seconds since 1970)."""
        return max((size for at, size in self.samples if start <= at <= stop), default=0)

    def _watch(self) -> None:
        while not self._done.wait(0.25):
            self.samples.append((time.time(), _tree_memory(self._process)))


def _tree_memory(process: psutil.Process) -> int:
    total = 0
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in members:
        try:
            memory = member.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
        except psutil.NoSuchProcess:
            continue
    return total


def run_once(catalog: Path, root: Path, *, memory: str, overrides: list[str]) -> dict[str, Any]:
    """Run the refresh in a process of its own; return stages with seconds and peak bytes, and the manifest."""
    settings = [
        f"input.tracks={catalog / 'tracks'}",
        f"input.playlists={catalog / 'playlists'}",
        f"input.favorites={catalog / 'favorites'}",
        f"output.root={root}",
        f"spark.driver_memory={memory}",
        *overrides,
    ]
    command = [sys.executable, str(ROOT / "jobs/refresh.py")]
    for setting in settings:
        command += ["--set", setting]
    started = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        watch = MemoryWatch(job.pid)
        out, err = job.communicate()
        watch.stop()
    ended = time.time()
    if job.returncode:
        raise SystemExit(f"the refresh failed with exit code {job.returncode}:\n{err[-2000:]}")
    manifest = json.loads((Path(out.strip().splitlines()[-1]) / "manifest.json").read_text())
    stages = [
        {
            "stage": stage["stage"],
            "seconds": stage["seconds"],
            "peak": watch.peak(_seconds(stage["started_at"]), _seconds(stage["started_at"]) + stage["seconds"]),
        }
        for stage in manifest["stages"]
    ]
    total = {"stage": "altogether", "seconds": ended - started, "peak": watch.peak(started, ended)}
    return {"stages": [*stages, total], "manifest": manifest}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


def print_tables(runs: list[dict[str, Any]], *, n_songs: int) -> None:
    """Print the medians over the runs, and what the join found."""
    print(f"\n{n_songs:,} songs, {psutil.cpu_count()} cores, median of {len(runs)} run(s)\n")
    print("| stage | wall, s | peak memory, GB |\n|---|---:|---:|")
    for i, stage in enumerate(runs[0]["stages"]):
        seconds = statistics.median(run["stages"][i]["seconds"] for run in runs)
        peak = max(run["stages"][i]["peak"] for run in runs)
        print(f"| {stage['stage']} | {seconds:.1f} | {peak / GIB:.1f} |")
    found = runs[0]["manifest"]["neighbors"]
    print("\n| join | |\n|---|---:|")
    for name in ("hash_family", "recall_at_k", "recall_lower_95", "copies_per_item", "pairs_per_item"):
        print(f"| {name} | {found[name]} |")


def main() -> int:
    """Parse the command line, make a catalog, run and print."""
    parser = argparse.ArgumentParser(description="Time the refresh on a generated catalog.")
    parser.add_argument("--songs", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--repeats", type=int, default=1, metavar="N")
    parser.add_argument("--driver-memory", default="8g", metavar="SIZE")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        catalog = Path(scratch) / "catalog"
        subprocess.run(
            [
                sys.executable,
                str(ROOT / "scripts/make_catalog.py"),
                "--songs",
                str(arguments.songs),
                "--output",
                str(catalog),
            ],
            check=True,
        )
        runs = [
            run_once(
                catalog,
                Path(scratch) / f"run-{i}",
                memory=arguments.driver_memory,
                overrides=arguments.overrides,
            )
            for i in range(arguments.repeats)
        ]
        print_tables(runs, n_songs=arguments.songs)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The nightly run on a generated catalog, watched: wall time, CPU time and memory of each stage."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from watching import GIB, Finished, run_watched, seconds_of

ROOT = Path(__file__).parents[1]

ALL_STAGES = "altogether"
# What the manifest says of the join.
FOUND = ("hash_family", "recall_at_k", "recall_lower_95", "copies_per_item", "pairs_per_item")


@dataclass(frozen=True)
class StageFigures:
    """What a stage took; memory is the peak of all processes together, in bytes."""

    stage: str
    seconds: float
    cpu_s: float
    peak: int
    failed: bool = False


@dataclass(frozen=True)
class Night:
    """One run: its stages in order, all of them together last, and what the manifest says of the join."""

    stages: list[StageFigures]
    neighbors: dict[str, Any]


def make_catalog(out: Path, *, n_songs: int) -> None:
    """Write a generated catalog."""
    script = str(ROOT / "scripts/make_catalog.py")
    subprocess.run([sys.executable, script, "--songs", str(n_songs), "--output", str(out)], check=True)


def run_night(catalog: Path, root: Path, *, memory: str, overrides: list[str]) -> Night:
    """Run the refresh in a process of its own.

    Parameters
    ----------
    catalog : path
        What `make_catalog` wrote.
    root : path
        The output's root.
    memory : str
        Of Spark's driver.
    overrides : list of str
        As `--set` takes them.
    """
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
    job = run_watched(command)
    if job.returncode:
        raise SystemExit(f"the refresh failed with exit code {job.returncode}:\n{job.err[-2000:]}")
    manifest = json.loads((Path(job.out.strip().splitlines()[-1]) / "manifest.json").read_text())
    return Night(stage_figures(manifest["stages"], job), manifest["neighbors"])


def stage_figures(stages: list[dict[str, Any]], job: Finished) -> list[StageFigures]:
    """Return what each stage of a record took, and the whole process, from its start to its end."""
    figures = []
    for stage in stages:
        started = seconds_of(stage["started_at"])
        span = (started, started + stage["seconds"])
        figures.append(
            StageFigures(
                stage["stage"],
                stage["seconds"],
                job.watch.cpu_s(*span),
                job.watch.peak(*span),
                failed=stage.get("failed", False),
            )
        )
    span = (job.started, job.ended)
    total = StageFigures(ALL_STAGES, job.ended - job.started, job.watch.cpu_s(*span), job.watch.peak(*span))
    return [*figures, total]


def night_lines(nights: list[Night], *, n_songs: int, memory: str) -> list[str]:
    """Return Markdown tables: the medians over the runs with the largest memory, and what the join found.

    Parameters
    ----------
    nights : list of Night
    n_songs : int
    memory : str
        Of Spark's driver.
    """
    found = nights[0].neighbors
    return [
        f"{n_songs:,} songs, {psutil.cpu_count()} cores, a driver of {memory}, median of {len(nights)} run(s)",
        "",
        "| stage | wall, s | songs/s | CPU, s | peak memory, GB |",
        "|---|---:|---:|---:|---:|",
        *[_stage_line(stage.stage, nights, n_songs=n_songs) for stage in nights[0].stages],
        "",
        "| join | |",
        "|---|---:|",
        *[f"| {name} | {found[name]} |" for name in FOUND],
    ]


def _stage_line(name: str, nights: list[Night], *, n_songs: int) -> str:
    runs = [stage for night in nights for stage in night.stages if stage.stage == name]
    seconds = statistics.median(run.seconds for run in runs)
    cells = [
        f"{name} (failed)" if any(run.failed for run in runs) else name,
        f"{seconds:.1f}",
        f"{n_songs / max(seconds, 0.01):,.0f}",
        f"{statistics.median(run.cpu_s for run in runs):.1f}",
        f"{max(run.peak for run in runs) / GIB:.1f}",
    ]
    return f"| {' | '.join(cells)} |"

"""The nightly run on a generated catalog, watched: wall and CPU time, jobs, shuffle and memory of each stage."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from event_log import EventLog, logging_into, read_events
from flame_graph import profiled
from watching import GIB, MIB, Finished, run_watched, seconds_of

from musicrec.storage.stores import open_store

ROOT = Path(__file__).parents[1]
JOB = "jobs/refresh.py"

ALL_STAGES = "altogether"
# What the manifest says of the join.
FOUND = ("hash_family", "recall_at_k", "recall_lower_95", "copies_per_item", "pairs_per_item")


@dataclass(frozen=True)
class StageFigures:
    """What a stage took; memory is the peak of all processes together; shuffle and memory in bytes."""

    stage: str
    seconds: float
    cpu_s: float
    n_jobs: int
    shuffled: int
    peak: int
    failed: bool = False


@dataclass(frozen=True)
class Night:
    """One run: its stages in order, all together last, what the manifest says of the join, and what it said."""

    stages: list[StageFigures]
    neighbors: dict[str, Any]
    said: str


def make_catalog(out: Path, *, n_songs: int) -> None:
    """Write a generated catalog."""
    script = str(ROOT / "scripts/make_catalog.py")
    subprocess.run([sys.executable, script, "--songs", str(n_songs), "--output", str(out)], check=True)


def run_night(
    catalog: Path, root: str, *, events: Path, memory: str, overrides: list[str], job: str = JOB
) -> Night:
    """Run the refresh in a process of its own, watched.

    Parameters
    ----------
    catalog : path
        What `make_catalog` wrote.
    root : str
        The output's root.
    events : path
        A directory to be made, for what Spark tells of the run.
    memory : str
        Of Spark's driver.
    overrides : list of str
        As `--set` takes them.
    job : str
        What runs it, below the project's directory.
    """
    events.mkdir()
    command = _command(catalog, root, memory=memory, overrides=overrides, job=job)
    done = _run(command, environment=logging_into(events))
    manifest = json.loads(open_store(done.out.strip().splitlines()[-1]).get("manifest.json"))
    return Night(stage_figures(manifest["stages"], done, read_events(events)), manifest["neighbors"], done.err)


def profile_night(catalog: Path, root: str, picture: Path, *, memory: str, overrides: list[str]) -> None:
    """Run the refresh in a process of its own, and write a flame graph of it and its workers.

    Parameters
    ----------
    catalog, root
        As for `run_night`.
    picture : path
        An SVG file.
    memory, overrides
        As for `run_night`.
    """
    _run(profiled(_command(catalog, root, memory=memory, overrides=overrides), picture), environment={})


def _run(command: list[str], *, environment: dict[str, str]) -> Finished:
    job = run_watched(command, environment=environment)
    if job.returncode:
        raise SystemExit(f"the refresh failed with exit code {job.returncode}:\n{job.err[-2000:]}")
    return job


def _command(catalog: Path, root: str, *, memory: str, overrides: list[str], job: str = JOB) -> list[str]:
    settings = [
        f"input.tracks={catalog / 'tracks'}",
        f"input.playlists={catalog / 'playlists'}",
        f"input.favorites={catalog / 'favorites'}",
        f"output.root={root}",
        f"spark.driver_memory={memory}",
        *overrides,
    ]
    command = [sys.executable, str(ROOT / job)]
    for setting in settings:
        command += ["--set", setting]
    return command


def stage_figures(stages: list[dict[str, Any]], job: Finished, events: EventLog) -> list[StageFigures]:
    """Return what each stage of a record took, and the whole process, from its start to its end.

    Parameters
    ----------
    stages : list of dict
        Of the manifest.
    job : Finished
    events : EventLog
        Of the same run.
    """

    def took(name: str, start: float, stop: float, *, failed: bool) -> StageFigures:
        cpu_s, peak = job.watch.cpu_s(start, stop), job.watch.peak(start, stop)
        n_jobs, shuffled = events.n_jobs(start, stop), events.shuffled(start, stop)
        return StageFigures(name, stop - start, cpu_s, n_jobs, shuffled, peak, failed)

    figures = []
    for stage in stages:
        started = seconds_of(stage["started_at"])
        failed = stage.get("failed", False)
        figures.append(took(stage["stage"], started, started + stage["seconds"], failed=failed))
    return [*figures, took(ALL_STAGES, job.started, job.ended, failed=False)]


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
        "| stage | wall, s | songs/s | CPU, s | jobs | shuffle, MB | peak memory, GB |",
        "|---|---:|---:|---:|---:|---:|---:|",
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
        f"{max(run.n_jobs for run in runs)}",
        f"{max(run.shuffled for run in runs) / MIB:,.0f}",
        f"{max(run.peak for run in runs) / GIB:.1f}",
    ]
    return f"| {' | '.join(cells)} |"

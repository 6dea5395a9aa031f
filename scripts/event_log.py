"""Spark's own record of a run: when its jobs started, and what its tasks shuffled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# Read by the JVM that pyspark starts; it is no option of musicrec, because nobody else needs it.
VARIABLE = "PYSPARK_SUBMIT_ARGS"


@dataclass(frozen=True)
class EventLog:
    """Times in seconds since 1970.

    Attributes
    ----------
    jobs : tuple of float
        When each job was submitted.
    shuffles : tuple of (float, int)
        When each task ended, and the bytes that it wrote for other tasks.
    """

    jobs: tuple[float, ...]
    shuffles: tuple[tuple[float, int], ...]

    def n_jobs(self, start: float, stop: float) -> int:
        """Return how many jobs started between two times."""
        return sum(start <= at <= stop for at in self.jobs)

    def shuffled(self, start: float, stop: float) -> int:
        """Return the bytes that tasks shuffled between two times."""
        return sum(n_bytes for at, n_bytes in self.shuffles if start <= at <= stop)


def logging_into(directory: Path) -> dict[str, str]:
    """Return the environment in which a new session writes its events into an existing directory."""
    options = {"enabled": "true", "dir": directory.as_uri(), "compress": "false"}
    words = [f"--conf spark.eventLog.{name}={value}" for name, value in options.items()]
    return {VARIABLE: " ".join([*words, "pyspark-shell"])}


def read_events(directory: Path) -> EventLog:
    """Return what the events of all sessions below a directory say."""
    jobs, shuffles = list[float](), list[tuple[float, int]]()
    for path in sorted(directory.rglob("events_*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["Event"] == "SparkListenerJobStart":
                jobs.append(event["Submission Time"] / 1000)
            elif event["Event"] == "SparkListenerTaskEnd":
                # A task that was lost has none.
                written = (event.get("Task Metrics") or {}).get("Shuffle Write Metrics", {})
                shuffles.append(
                    (event["Task Info"]["Finish Time"] / 1000, written.get("Shuffle Bytes Written", 0))
                )
    return EventLog(tuple(jobs), tuple(shuffles))

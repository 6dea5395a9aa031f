"""Run a process and watch what it and all its children (JVM, Python workers) take.

Memory is summed up to four times a second; a page that several processes share counts once (proportional set size,
where the system tells it, else resident size). To count pages stops who uses them: of a dozen processes that would
take a tenth of a core, and make slower what is to be timed.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psutil

GIB, MIB = 2**30, 2**20
# Between two samples, at least, and by how many times a sample's own time.
INTERVAL_S, REST = 0.25, 50


class ProcessWatch:
    """Samples memory and CPU time of a process and its children until it is told to stop.

    A child that lives shorter than the time between two samples may be missed.
    """

    def __init__(self, pid: int) -> None:
        self.samples: list[tuple[float, int, float]] = [(time.time(), 0, 0.0)]
        self._cpu_s: dict[tuple[int, float], float] = {}
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
        within = [size for at, size, _ in self.samples if start <= at <= stop]
        # What takes less than the time between two samples gets the one next to it.
        return max(within) if within else min(self.samples, key=lambda sample: abs(sample[0] - stop))[1]

    def cpu_s(self, start: float, stop: float) -> float:
        """Return the CPU seconds between two times, interpolated between samples."""
        times = [at for at, _, _ in self.samples]
        used = np.interp([start, stop], times, [cpu for _, _, cpu in self.samples])
        return float(used[1] - used[0])

    def _watch(self) -> None:
        wait_s = INTERVAL_S
        while not self._done.wait(wait_s):
            started = time.perf_counter()
            size = self._sample()
            wait_s = max(INTERVAL_S, REST * (time.perf_counter() - started))
            self.samples.append((time.time(), size, sum(self._cpu_s.values())))

    def _sample(self) -> int:
        total = 0
        try:
            members = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        for member in members:
            try:
                times = member.cpu_times()
                # What has ended keeps what it had used; the start tells apart two processes of one number.
                self._cpu_s[member.pid, member.create_time()] = times.user + times.system
                memory = member.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            total += getattr(memory, "pss", memory.rss)
        return total


@dataclass(frozen=True)
class Finished:
    """A process that has ended and what was seen of it; times in seconds since 1970.

    `cut_off`: it was ended at its time limit.
    """

    returncode: int
    cut_off: bool
    out: str
    err: str
    started: float
    ended: float
    watch: ProcessWatch


def run_watched(
    command: list[str], *, environment: dict[str, str] | None = None, limit_s: float | None = None
) -> Finished:
    """Run a process to its end, watched; at the limit it is ended with all its children.

    Parameters
    ----------
    command : list of str
    environment : dict, optional
        Added to that of this process.
    limit_s : float, optional
        The longest that it may run, in seconds.
    """
    started, cut_off = time.time(), False
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as job:
        watch = ProcessWatch(job.pid)
        try:
            out, err = job.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            cut_off = True
            _end_with_children(job.pid)
            out, err = job.communicate()
        watch.stop()
    return Finished(job.returncode, cut_off, out, err, started, time.time(), watch)


def seconds_of(text: str) -> float:
    """Return a time in ISO 8601 as seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def _end_with_children(pid: int) -> None:
    process = psutil.Process(pid)
    # Found before the parent ends: afterwards they belong to nobody.
    for member in (*process.children(recursive=True), process):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue

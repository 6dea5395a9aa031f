"""Run the neighbor join and its peers on the same vectors, each in a process of its own, and judge their lists."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from truth import Truth, find_truth, mean_and_lower, read_vectors, recall_per_query
from watching import Finished, ProcessWatch, run_watched, seconds_of

from musicrec.arrays import Floats, Ints

ROOT = Path(__file__).parents[1]

OURS = "musicrec"
N_QUERIES = 2000
SEED = 17


@dataclass(frozen=True)
class Measurement:
    """One method at one recall target in one run; `build_s` is part of `wall_s`, memory in bytes."""

    method: str
    version: str
    settings: str
    target: float
    recall: float
    recall_lower_95: float
    build_s: float
    wall_s: float
    cpu_s: float
    peak: int


@dataclass(frozen=True)
class Absent:
    """A method that did not run, and why."""

    method: str
    reason: str


Outcome = Measurement | Absent


@dataclass(frozen=True)
class Task:
    """A data set and what all methods are asked of it."""

    vectors: Path
    ids: Ints
    matrix: Floats
    truth: Truth
    targets: list[float]
    k: int
    n_threads: int
    memory: str
    peer_limit_s: float


def load_task(directory: Path, arguments: argparse.Namespace) -> Task:
    """Read the vectors and find the truth."""
    ids, matrix = read_vectors(directory)
    truth = find_truth(matrix, k=arguments.k, n_queries=N_QUERIES, seed=SEED)
    targets = sorted(arguments.recalls)
    return Task(
        directory, ids, matrix, truth, targets, arguments.k, arguments.threads, arguments.driver_memory,
        arguments.peer_limit,
    )  # fmt: skip


def read_lists(directory: Path, ids: Ints, truth: Truth, *, k: int) -> Ints:
    """Return the lists of the sampled items as positions, shape (n_queries, k); -1 where there is none.

    Parameters
    ----------
    directory : path
        Of Parquet files (id, rank, neighbor_id).
    ids : int64 array, shape (n,)
        Of all vectors, in their order.
    truth : Truth
    k : int
    """
    asked = ids[truth.rows]
    columns = ["id", "rank", "neighbor_id"]
    wanted = (pc.field("id").isin(pa.array(asked))) & (pc.field("rank") <= k)
    rows = ds.dataset(sorted(map(str, directory.glob("*.parquet")))).to_table(columns=columns, filter=wanted)
    lists = np.full((len(asked), k), -1)
    lists[_positions(rows["id"].to_numpy(), asked), rows["rank"].to_numpy() - 1] = _positions(
        rows["neighbor_id"].to_numpy(), ids
    )
    return lists


def _positions(values: Ints, ids: Ints) -> Ints:
    order = np.argsort(ids)
    places = np.searchsorted(ids, values, sorter=order)
    found = order[np.minimum(places, len(ids) - 1)]
    return np.where(ids[found] == values, found, -1)


def run_ours(task: Task, scratch: Path) -> list[Outcome]:
    """Run our join at each recall target, from Parquet to Parquet."""
    return [_run_ours_at(task, scratch / f"ours-{target}", target) for target in task.targets]


def _run_ours_at(task: Task, output: Path, target: float) -> Outcome:
    command = [sys.executable, str(ROOT / "jobs/neighbors.py")]
    command += ["--vectors", str(task.vectors), "--output", str(output)]
    command += ["--k", str(task.k), "--target-recall", str(target)]
    command += ["--set", f"spark.driver_memory={task.memory}", "--set", f"spark.master=local[{task.n_threads}]"]
    job = run_watched(command)
    if job.returncode:
        return Absent(OURS, _failure(job))
    report = json.loads((output / "report.json").read_text())
    lists = read_lists(output / "neighbors", task.ids, task.truth, k=task.k)
    recall, lower = mean_and_lower(recall_per_query(lists, task.truth, task.matrix))
    # Spark's start is a stage of its own, and not among the report's seconds.
    timed = [stage for stage in report["stages"] if stage["stage"] != "start"]
    started = min((seconds_of(stage["started_at"]) for stage in timed), default=job.started)
    return Measurement(
        method=OURS,
        version="",
        settings=f"target_recall={target}",
        target=target,
        recall=recall,
        recall_lower_95=lower,
        build_s=0.0,
        wall_s=report["seconds"],
        cpu_s=job.watch.cpu_s(started, started + report["seconds"]),
        peak=job.watch.peak(job.started, job.ended),
    )


def run_peer(name: str, task: Task, scratch: Path) -> list[Outcome]:
    """Run a peer at all recall targets, with one build; what it had answered at its time limit counts.

    Parameters
    ----------
    name : str
        Of `peers.PEERS`.
    task : Task
    scratch : path
        A directory for its files.
    """
    output, truth = scratch / f"{name}.json", scratch / "truth.npz"
    task.truth.save(truth)
    command = [sys.executable, str(ROOT / "scripts/run_peer.py"), name]
    command += ["--vectors", str(task.vectors), "--truth", str(truth), "--output", str(output)]
    command += ["--recalls", ",".join(map(str, task.targets)), "--k", str(task.k)]
    command += ["--threads", str(task.n_threads), "--driver-memory", task.memory]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    job = run_watched(
        command, environment=dict.fromkeys(variables, str(task.n_threads)), limit_s=task.peer_limit_s
    )
    result = json.loads(output.read_text()) if output.exists() else {"answers": []}
    if "unavailable" in result:
        return [Absent(name, result["unavailable"])]
    outcomes: list[Outcome] = [_measured(name, result, answer, job.watch) for answer in result["answers"]]
    if job.cut_off:
        missing = ", ".join(f"{target:g}" for target in task.targets[len(outcomes) :])
        outcomes.append(Absent(name, f"no answer at {missing} within {task.peer_limit_s:g} s"))
    elif job.returncode:
        outcomes.append(Absent(name, _failure(job)))
    return outcomes


def _measured(name: str, result: dict[str, Any], answer: dict[str, Any], watch: ProcessWatch) -> Measurement:
    build, query = result["build"], answer["query"]
    build_s = build[1] - build[0]
    return Measurement(
        method=name,
        version=result["version"],
        settings=answer["settings"],
        target=answer["target"],
        recall=answer["recall"],
        recall_lower_95=answer["recall_lower_95"],
        build_s=build_s,
        wall_s=build_s + query[1] - query[0],
        cpu_s=watch.cpu_s(*build) + watch.cpu_s(*query),
        peak=max(watch.peak(*build), watch.peak(*query)),
    )


def _failure(job: Finished) -> str:
    lines = job.err.strip().splitlines()
    return f"failed with exit code {job.returncode}: {lines[-1][:200] if lines else 'no message'}"


def run_all(task: Task, peers: list[str], *, repeats: int) -> list[Outcome]:
    """Run all methods in turn, `repeats` times over, so that a slow hour of the machine meets all of them.

    Parameters
    ----------
    task : Task
    peers : list of str
    repeats : int
    """
    outcomes: list[Outcome] = []
    for _ in range(repeats):
        for method in (OURS, *peers):
            with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
                here = Path(scratch)
                outcomes += run_ours(task, here) if method == OURS else run_peer(method, task, here)
    return outcomes

"""Measure on generated songs, and print Markdown tables.

`refresh` gives wall time and peak memory of each stage of the nightly run. `neighbors` compares the neighbor
join with its peers (scripts/peers.py): each at the cheapest setting that reaches a recall.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from peers import PEERS
from truth import Truth, find_truth, mean_and_lower, read_vectors, recall_per_query
from vector_sets import MAKERS, SONG_LIKE, make_data
from watching import GIB, Finished, ProcessWatch, run_watched

from musicrec.arrays import Floats, Ints

ROOT = Path(__file__).parents[1]

OURS = "musicrec"
N_QUERIES = 2000
SEED = 17


def make_catalog(out: Path, *, n_songs: int) -> None:
    """Write a generated catalog."""
    script = str(ROOT / "scripts/make_catalog.py")
    subprocess.run([sys.executable, script, "--songs", str(n_songs), "--output", str(out)], check=True)


def run_refresh(catalog: Path, root: Path, *, memory: str, overrides: list[str]) -> dict[str, Any]:
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
    job = run_watched(command)
    if job.returncode:
        raise SystemExit(f"the refresh failed with exit code {job.returncode}:\n{job.err[-2000:]}")
    manifest = json.loads((Path(job.out.strip().splitlines()[-1]) / "manifest.json").read_text())
    stages = [
        {
            "stage": stage["stage"],
            "seconds": stage["seconds"],
            "peak": job.watch.peak(
                _seconds(stage["started_at"]), _seconds(stage["started_at"]) + stage["seconds"]
            ),
        }
        for stage in manifest["stages"]
    ]
    total = {
        "stage": "altogether",
        "seconds": job.ended - job.started,
        "peak": job.watch.peak(job.started, job.ended),
    }
    return {"stages": [*stages, total], "manifest": manifest}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


def print_stages(runs: list[dict[str, Any]], *, n_songs: int) -> None:
    """Print the medians over the runs, and what the join found."""
    print(f"\n{n_songs:,} songs, {psutil.cpu_count()} cores, median of {len(runs)} run(s)\n")
    print("| stage | wall, s | songs/s | peak memory, GB |\n|---|---:|---:|---:|")
    for i, stage in enumerate(runs[0]["stages"]):
        seconds = statistics.median(run["stages"][i]["seconds"] for run in runs)
        peak = max(run["stages"][i]["peak"] for run in runs)
        print(f"| {stage['stage']} | {seconds:.1f} | {n_songs / max(seconds, 0.01):,.0f} | {peak / GIB:.1f} |")
    found = runs[0]["manifest"]["neighbors"]
    print("\n| join | |\n|---|---:|")
    for name in ("hash_family", "recall_at_k", "recall_lower_95", "copies_per_item", "pairs_per_item"):
        print(f"| {name} | {found[name]} |")


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
    """Return the lists of the sampled items as positions, shape (n_queries, k); -1 where there is none."""
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
    started = min((_seconds(stage["started_at"]) for stage in timed), default=job.started)
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
    """Run a peer at all recall targets, with one build; what it had answered at its time limit counts."""
    output, truth = scratch / f"{name}.json", scratch / "truth.npz"
    task.truth.save(truth)
    command = [sys.executable, str(ROOT / "scripts/peers.py"), name]
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


def middle_run(outcomes: list[Outcome], method: str, target: float) -> Measurement | None:
    """Return the run of median wall time, the quicker of two; its other figures belong to it."""
    runs = [
        run for run in outcomes if isinstance(run, Measurement) and (run.method, run.target) == (method, target)
    ]
    return sorted(runs, key=lambda run: run.wall_s)[(len(runs) - 1) // 2] if runs else None


def table_lines(outcomes: list[Outcome], *, k: int) -> list[str]:
    """Return a Markdown table of the medians, target by target, and what did not run."""
    methods = list(dict.fromkeys(outcome.method for outcome in outcomes))
    targets = sorted({run.target for run in outcomes if isinstance(run, Measurement)})
    lines = [
        f"| method | settings | recall asked | recall@{k} (95 % at least) | wall, s (build + query) | CPU, s "
        f"| peak memory, GB | wall, {OURS} / this |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for target in targets:
        ours = middle_run(outcomes, OURS, target)
        for method in methods:
            run = middle_run(outcomes, method, target)
            if run:
                lines.append(_table_line(run, ours))
    absent = {outcome.method: outcome.reason for outcome in outcomes if isinstance(outcome, Absent)}
    lines += [f"| {method} | {reason} | | | | | | |" for method, reason in absent.items()]
    if any(isinstance(run, Measurement) and run.recall < run.target for run in outcomes):
        lines += ["", "† the best that it reached is less than asked"]
    return lines


def _table_line(run: Measurement, ours: Measurement | None) -> str:
    mark = " †" if run.recall < run.target else ""
    parts = f" ({run.build_s:.1f} + {run.wall_s - run.build_s:.1f})" if run.build_s else ""
    cells = [
        f"{run.method} {run.version}".strip(),
        run.settings,
        f"{run.target:g}",
        f"{run.recall:.4f} ({run.recall_lower_95:.4f}){mark}",
        f"{run.wall_s:.1f}{parts}",
        f"{run.cpu_s:.1f}",
        f"{run.peak / GIB:.1f}",
        f"{ours.wall_s / run.wall_s:.2f}" if ours else "",
    ]
    return f"| {' | '.join(cells)} |"


def run_all(task: Task, peers: list[str], *, repeats: int) -> list[Outcome]:
    """Run all methods in turn, `repeats` times over, so that a slow hour of the machine meets all of them."""
    outcomes: list[Outcome] = []
    for _ in range(repeats):
        for method in (OURS, *peers):
            with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
                here = Path(scratch)
                outcomes += run_ours(task, here) if method == OURS else run_peer(method, task, here)
    return outcomes


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "n_cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }


def refresh(arguments: argparse.Namespace) -> int:
    """Time the nightly run on a generated catalog."""
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        catalog = Path(scratch) / "catalog"
        make_catalog(catalog, n_songs=arguments.songs)
        runs = [
            run_refresh(
                catalog, Path(scratch) / f"run-{i}", memory=arguments.driver_memory, overrides=arguments.overrides
            )
            for i in range(arguments.repeats)
        ]
        print_stages(runs, n_songs=arguments.songs)
    return 0


def neighbors(arguments: argparse.Namespace) -> int:
    """Compare the neighbor join with its peers on each data set; return 1 where ours failed."""
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        kept = arguments.keep or Path(scratch)
        for name in [arguments.vectors.name] if arguments.vectors else arguments.data:
            directory = arguments.vectors or make_data(
                name, kept / f"{name}-{arguments.songs}", n_songs=arguments.songs, memory=arguments.driver_memory
            )
            task = load_task(directory, arguments)
            outcomes = run_all(task, arguments.peers, repeats=arguments.repeats)
            print(
                f"\n{name}: {len(task.ids):,} vectors of {task.matrix.shape[1]} floats, {task.n_threads} threads,"
            )
            print(f"{len(task.truth.rows):,} queries judged, median of {arguments.repeats} run(s)\n")
            print("\n".join(table_lines(outcomes, k=task.k)), flush=True)
            figures.append({"data": name, "n": len(task.ids), "outcomes": [asdict(each) for each in outcomes]})
            if arguments.output:
                report = {**describe_machine(), "threads": task.n_threads, "k": task.k, "sets": figures}
                arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    failed = any(each["method"] == OURS and "reason" in each for one in figures for each in one["outcomes"])
    return int(failed)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return parse


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure on generated songs.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--songs", type=int, default=1_000_000, metavar="N")
    shared.add_argument("--repeats", type=int, default=1, metavar="N")
    shared.add_argument("--driver-memory", default="8g", metavar="SIZE")

    nightly = commands.add_parser("refresh", parents=[shared], help="time the nightly run, stage by stage")
    nightly.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    nightly.set_defaults(run=refresh)

    join = commands.add_parser("neighbors", parents=[shared], help="compare the neighbor join with its peers")
    join.add_argument(
        "--data", type=_names([SONG_LIKE, *MAKERS]), default=[SONG_LIKE], metavar="NAME,...",
        help=f"of {', '.join([SONG_LIKE, *MAKERS])}",
    )  # fmt: skip
    join.add_argument("--vectors", type=Path, metavar="DIR", help="Parquet (id, vector) instead of made data")
    join.add_argument("--keep", type=Path, metavar="DIR", help="leave made data here and use what is here")
    join.add_argument("--recalls", type=_shares, default=[0.95, 0.98, 0.99], metavar="SHARE,...")
    join.add_argument(
        "--peers", type=_names([*PEERS]), default=["hnswlib", "faiss-ivf", "faiss-hnsw", "brute"],
        metavar="NAME,...", help=f"of {', '.join(PEERS)}",
    )  # fmt: skip
    join.add_argument("--k", type=int, default=10)
    join.add_argument("--threads", type=int, default=2, metavar="N")
    join.add_argument(
        "--peer-limit",
        type=float,
        default=3600,
        metavar="SECONDS",
        help="the longest that a peer may try settings",
    )
    join.add_argument("--output", type=Path, metavar="FILE", help="raw figures as JSON")
    join.set_defaults(run=neighbors)
    return parser.parse_args(words)


def main() -> int:
    """Parse the command line, measure and print."""
    arguments = parse()
    result: int = arguments.run(arguments)
    return result


if __name__ == "__main__":
    sys.exit(main())

"""Other ways to find the nearest neighbors of all vectors, each run in a process of its own.

The clock is kind to the peers. Vectors are in memory before it starts, lists need not be written when it stops,
and the search for the cheapest setting that reaches a recall is free; ours is timed from Parquet to Parquet and
finds its setting on the clock. A peer starts with a warm index, since the search for its setting has used it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from truth import (
    Truth,
    mean_and_lower,
    read_vectors,
    recall_per_query,
)

from musicrec.arrays import Floats, Ints

BLOCK_ROWS = 16_384
# Both compare all pairs, or nearly: above these sizes they take hours.
MLLIB_MAX = 20_000
NEAREST_BY_MAX = 5_000
# Width of MLlib's buckets in per cent of its threshold: pairs grow with it, and so does recall.
MLLIB_BUCKETS = [10, 40]

# Of both graphs: edges per item, the effort to find them, and the most that is tried for an answer.
GRAPH_M, GRAPH_EF, GRAPH_EF_MAX = 16, 100, 2048


class PeerError(Exception):
    """A peer cannot run here; the message says why."""


@dataclass(frozen=True)
class Setup:
    """What a peer may know: k, the threads, Spark's memory and the median distance of the k-th neighbor."""

    k: int
    n_threads: int
    driver_memory: str
    neighbor_distance: float


@dataclass(frozen=True)
class Answer:
    """The lists of all vectors at one setting: recall on the truth and the time of the query (since 1970)."""

    target: float
    settings: str
    recall: float
    recall_lower_95: float
    query: tuple[float, float]


def without_self(found: Ints, rows: Ints, *, k: int) -> Ints:
    """Return the first k of each list (n, k + 1) that are not the row itself; where it is missing, the first k."""
    is_self = found == rows[:, None]
    return np.take_along_axis(found, np.argsort(is_self, axis=1, kind="stable"), axis=1)[:, :k]


def grow(start: int, stop: int, *, factor: float = 1.19) -> list[int]:
    """Return whole numbers from `start` to `stop`, each a fifth above the one before."""
    ladder = [start]
    while ladder[-1] < stop:
        ladder.append(min(stop, max(ladder[-1] + 1, round(ladder[-1] * factor))))
    return ladder


@dataclass(frozen=True)
class Peer:
    """A way to find the k + 1 nearest by inner product of unit vectors; the item itself may be among them.

    `query` takes vectors (n_queries, d) and a rung of the ladder, and returns positions (n_queries, k + 1),
    negative where there is none. `ladder` rises from quick to exact; `settings` says a rung in words. Where
    `answers_all` is true, only all vectors can be asked, and a rung includes its own build.
    """

    package: str
    settings: str
    ladder: list[int]
    query: Callable[[Floats, int], Ints]
    build: Callable[[], None] = lambda: None
    answers_all: bool = False


def hnswlib(vectors: Floats, setup: Setup) -> Peer:
    """Return the graph index of Malkov and Yashunin (2018), by its authors."""
    index = load("hnswlib").Index(space="ip", dim=vectors.shape[1])

    def build() -> None:
        index.init_index(len(vectors), M=GRAPH_M, ef_construction=GRAPH_EF, random_seed=1)
        index.add_items(vectors, num_threads=setup.n_threads)

    def query(queries: Floats, rung: int) -> Ints:
        index.set_ef(rung)
        try:
            labels, _ = index.knn_query(queries, k=setup.k + 1, num_threads=setup.n_threads)
        except RuntimeError:
            # It refuses all queries when one reaches fewer than k items, as among many copies of one.
            return np.full((len(queries), setup.k + 1), -1)
        return np.asarray(labels).view(np.int64)

    settings = f"M={GRAPH_M}, ef_construction={GRAPH_EF}, ef={{}}"
    return Peer("hnswlib", settings, grow(setup.k + 1, GRAPH_EF_MAX), query, build)


def faiss_hnsw(vectors: Floats, setup: Setup) -> Peer:
    """Return the same graph index, by Faiss."""
    faiss = load_faiss(setup.n_threads)
    index = faiss.IndexHNSWFlat(vectors.shape[1], GRAPH_M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = GRAPH_EF

    def query(queries: Floats, rung: int) -> Ints:
        index.hnsw.efSearch = rung
        return np.asarray(index.search(queries, setup.k + 1)[1])

    settings = f"M={GRAPH_M}, efConstruction={GRAPH_EF}, efSearch={{}}"
    return Peer("faiss-cpu", settings, grow(setup.k + 1, GRAPH_EF_MAX), query, partial(index.add, vectors))


def faiss_ivf(vectors: Floats, setup: Setup) -> Peer:
    """Return inverted lists around k-means centers, with full vectors in them."""
    faiss = load_faiss(setup.n_threads)
    n_lists = max(1, round(4 * math.sqrt(len(vectors))))
    quantizer = faiss.IndexFlatIP(vectors.shape[1])
    index = faiss.IndexIVFFlat(quantizer, vectors.shape[1], n_lists, faiss.METRIC_INNER_PRODUCT)
    # Faiss wants 39 at least; its default of 256 would train on all of a million.
    index.cp.max_points_per_centroid = 64

    def build() -> None:
        index.train(vectors)
        index.add(vectors)

    def query(queries: Floats, rung: int) -> Ints:
        index.nprobe = rung
        return np.asarray(index.search(queries, setup.k + 1)[1])

    return Peer("faiss-cpu", f"nlist={n_lists}, nprobe={{}}", grow(1, n_lists), query, build)


def pynndescent(vectors: Floats, setup: Setup) -> Peer:
    """Return nearest neighbor descent (Dong et al. 2011), whose graph is the answer."""
    descend = load("pynndescent").NNDescent

    def query(queries: Floats, rung: int) -> Ints:
        # Euclidean distance orders unit vectors as the inner product does.
        index = descend(queries, metric="euclidean", n_neighbors=rung, n_jobs=setup.n_threads, random_state=1)
        return np.asarray(index.neighbor_graph[0][:, : setup.k + 1], dtype=np.int64)

    ladder = grow(setup.k + 1, 128, factor=1.3)
    # Numba compiles at the first call.
    query(vectors[:5000], ladder[0])
    return Peer("pynndescent", "n_neighbors={}", ladder, query, answers_all=True)


def brute_force(vectors: Floats, setup: Setup) -> Peer:
    """Return the comparison of all pairs by torch, in blocks that stay in the cache."""
    torch = load("torch")
    torch.set_num_threads(setup.n_threads)
    candidates = torch.from_numpy(vectors).split(BLOCK_ROWS)

    def nearest(queries: Any) -> Any:
        scores, positions = [], []
        for number, block in enumerate(candidates):
            best = torch.topk(queries @ block.T, min(setup.k + 1, len(block)), dim=1)
            scores.append(best.values)
            positions.append(best.indices + number * BLOCK_ROWS)
        last = torch.topk(torch.cat(scores, dim=1), setup.k + 1, dim=1).indices
        return torch.cat(positions, dim=1).gather(1, last)

    def query(queries: Floats, rung: int) -> Ints:
        blocks = torch.from_numpy(queries).split(rung)
        return np.asarray(torch.cat([nearest(block) for block in blocks]))

    return Peer("torch", f"blocks of {{}} x {BLOCK_ROWS}", [512], query)


def mllib(vectors: Floats, setup: Setup) -> Peer:
    """Return Spark's own locality-sensitive hashing: pairs below a distance; a window keeps the nearest."""
    check_size(vectors, MLLIB_MAX)
    feature, F = load("pyspark.ml.feature"), load("pyspark.sql.functions")  # noqa: N806
    to_vector = load("pyspark.ml.functions").array_to_vector
    plain = start_spark(vectors, setup)
    rows = plain.select("id", to_vector("vector").alias("features")).persist()
    rows.count()
    nearest_first = load("pyspark.sql").Window.partitionBy("id").orderBy("distance", "neighbor_id")
    # A join by threshold must know how far neighbors are; it is told.
    threshold = 1.2 * setup.neighbor_distance
    hashes = partial(feature.BucketedRandomProjectionLSH, inputCol="features", outputCol="hashes", seed=1)

    def query(queries: Floats, rung: int) -> Ints:
        model = hashes(numHashTables=3, bucketLength=threshold * rung / 100).fit(rows)
        pairs = model.approxSimilarityJoin(rows, rows, threshold, distCol="distance")
        ranked = (
            pairs.select(F.col("datasetA.id").alias("id"), F.col("datasetB.id").alias("neighbor_id"), "distance")
            .where("id != neighbor_id")
            .withColumn("rank", F.row_number().over(nearest_first))
            .where(F.col("rank") <= setup.k)
        )
        found = ranked.select("id", "rank", "neighbor_id").toArrow()
        lists = np.full((len(queries), setup.k + 1), -1)
        lists[found["id"].to_numpy(), found["rank"].to_numpy() - 1] = found["neighbor_id"].to_numpy()
        return lists

    settings = f"3 tables, threshold {threshold:.3f}, buckets of {{}} % of it"
    return Peer("pyspark", settings, MLLIB_BUCKETS, query, answers_all=True)


def nearest_by(vectors: Floats, setup: Setup) -> Peer:
    """Return Spark's own ranking join, which compares all pairs."""
    check_size(vectors, NEAREST_BY_MAX)
    F = load("pyspark.sql.functions")  # noqa: N806
    if not hasattr(load("pyspark.sql").DataFrame, "nearestByJoin"):
        raise PeerError("this version of pyspark has no nearestByJoin")
    rows = start_spark(vectors, setup)
    others = rows.select(F.col("id").alias("neighbor_id"), F.col("vector").alias("other"))

    def query(queries: Floats, rung: int) -> Ints:
        score = F.vector_inner_product("vector", "other")
        pairs = rows.nearestByJoin(others, score, setup.k + rung, "exact", "similarity")
        found = pairs.select("id", "neighbor_id", score.alias("score")).toArrow()
        ordered = found.sort_by([("id", "ascending"), ("score", "descending")])
        return np.asarray(ordered["neighbor_id"]).reshape(len(queries), -1)

    return Peer("pyspark", "exact, k + {}", [1], query, answers_all=True)


PEERS: dict[str, Callable[[Floats, Setup], Peer]] = {
    "hnswlib": hnswlib,
    "faiss-ivf": faiss_ivf,
    "faiss-hnsw": faiss_hnsw,
    "pynndescent": pynndescent,
    "brute": brute_force,
    "mllib": mllib,
    "nearest-by": nearest_by,
}


def load(name: str) -> ModuleType:
    """Import a module that only some machines have.

    Raises
    ------
    PeerError
        It is not there.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PeerError(f"{name} is not installed (bash scripts/setup.sh bench)") from error


def load_faiss(n_threads: int) -> ModuleType:
    """Import Faiss and set its threads."""
    faiss = load("faiss")
    faiss.omp_set_num_threads(n_threads)
    return faiss


def check_size(vectors: Floats, n_max: int) -> None:
    """Refuse more vectors than a peer answers in minutes."""
    if len(vectors) > n_max:
        raise PeerError(f"only run up to {n_max:,} vectors: it would take hours")


def start_spark(vectors: Floats, setup: Setup) -> Any:
    """Return the vectors as a cached DataFrame (id, vector) of a new session; an id is a position."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = load("pyspark.sql").SparkSession.builder.master(f"local[{setup.n_threads}]").appName("peer")
    settings = {
        "spark.driver.memory": setup.driver_memory,
        "spark.sql.shuffle.partitions": str(4 * setup.n_threads),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    flat = pa.array(vectors.reshape(-1))
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]), flat
    )
    table = pa.table({"id": pa.array(np.arange(len(vectors))), "vector": lists})
    rows = builder.getOrCreate().createDataFrame(table).repartition(4 * setup.n_threads).persist()
    rows.count()
    return rows


class Bench:
    """One peer on one data set: remembers what each setting found, so that no setting is timed twice."""

    def __init__(self, peer: Peer, vectors: Floats, truth: Truth, *, k: int) -> None:
        self._peer, self._vectors, self._truth, self._k = peer, vectors, truth, k
        self._queries = np.ascontiguousarray(vectors[truth.rows])
        self._recalls: dict[int, float] = {}
        self._answers: dict[int, Answer] = {}

    def answer(self, target: float) -> Answer:
        """Return the lists of the first setting that reaches the recall, else of the best."""
        rung = self._choose(target)
        self._measure(rung)
        # A setting may serve the sampled queries and fail on all.
        while self._choose(target) != rung:
            rung = self._choose(target)
            self._measure(rung)
        return replace(self._answers[rung], target=target)

    def _choose(self, target: float) -> int:
        for rung in self._peer.ladder:
            if self._try(rung) >= target:
                return rung
        return max(self._peer.ladder, key=self._try)

    def _try(self, rung: int) -> float:
        if rung not in self._recalls:
            if self._peer.answers_all:
                self._measure(rung)
            else:
                self._recalls[rung] = self._judge(self._peer.query(self._queries, rung))[0]
        return self._recalls[rung]

    def _measure(self, rung: int) -> None:
        if rung in self._answers:
            return
        started = time.time()
        found = self._peer.query(self._vectors, rung)
        query = (started, time.time())
        mean, lower = self._judge(found[self._truth.rows])
        self._recalls[rung] = mean
        self._answers[rung] = Answer(mean, self._peer.settings.format(rung), mean, lower, query)

    def _judge(self, found: Ints) -> tuple[float, float]:
        lists = without_self(found, self._truth.rows, k=self._k)
        return mean_and_lower(recall_per_query(lists, self._truth, self._vectors))


def run_peer(
    name: str, vectors: Floats, truth: Truth, setup: Setup, *, targets: list[float]
) -> Iterator[dict[str, Any]]:
    """Build once, answer at each recall target; yield the version, the build's time and the answers so far."""
    peer = PEERS[name](vectors, setup)
    started = time.time()
    peer.build()
    build = (started, time.time())
    bench = Bench(peer, vectors, truth, k=setup.k)
    answers = []
    for target in targets:
        answers.append(asdict(bench.answer(target)))
        yield {"version": importlib.metadata.version(peer.package), "build": build, "answers": answers}


def write_whole(path: Path, plain: dict[str, Any]) -> None:
    """Write JSON under another name first: the process may be ended at any time, and half a file is none."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(plain))
    unfinished.replace(path)


def main() -> int:
    """Run one peer as told and write what it did as JSON."""
    parser = argparse.ArgumentParser(description="Run one peer; scripts/benchmark.py neighbors runs them all.")
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--vectors", type=Path, required=True, metavar="DIR")
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--recalls", required=True, metavar="R,R,...")
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--driver-memory", required=True, metavar="SIZE")
    arguments = parser.parse_args()
    _, vectors = read_vectors(arguments.vectors)
    truth = Truth.load(arguments.truth)
    distance = float(np.sqrt(max(0.0, 2 - 2 * np.median(truth.scores[:, -1]))))
    setup = Setup(arguments.k, arguments.threads, arguments.driver_memory, distance)
    targets = [float(target) for target in arguments.recalls.split(",")]
    try:
        for result in run_peer(arguments.name, vectors, truth, setup, targets=targets):
            write_whole(arguments.output, result)
    except PeerError as reason:
        write_whole(arguments.output, {"unavailable": str(reason)})
    return 0


if __name__ == "__main__":
    sys.exit(main())

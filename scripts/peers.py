"""Other ways to find the nearest neighbors of all vectors, of which scripts/run_peer.py runs one."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

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


def grow(start: int, stop: int, *, factor: float = 1.19) -> list[int]:
    """Return whole numbers from `start` to `stop`, each a fifth above the one before.

    Parameters
    ----------
    start : int
    stop : int
    factor : float
        From one number to the next, about.
    """
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
    return Peer(settings, grow(setup.k + 1, GRAPH_EF_MAX), query, build)


def faiss_hnsw(vectors: Floats, setup: Setup) -> Peer:
    """Return the same graph index, by Faiss."""
    faiss = load_faiss(setup.n_threads)
    index = faiss.IndexHNSWFlat(vectors.shape[1], GRAPH_M, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = GRAPH_EF

    def query(queries: Floats, rung: int) -> Ints:
        index.hnsw.efSearch = rung
        return np.asarray(index.search(queries, setup.k + 1)[1])

    settings = f"M={GRAPH_M}, efConstruction={GRAPH_EF}, efSearch={{}}"
    return Peer(settings, grow(setup.k + 1, GRAPH_EF_MAX), query, partial(index.add, vectors))


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

    return Peer(f"nlist={n_lists}, nprobe={{}}", grow(1, n_lists), query, build)


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
    return Peer("n_neighbors={}", ladder, query, answers_all=True)


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

    return Peer(f"blocks of {{}} x {BLOCK_ROWS}", [512], query)


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
    return Peer(settings, MLLIB_BUCKETS, query, answers_all=True)


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

    return Peer("exact, k + {}", [1], query, answers_all=True)


PEERS: dict[str, Callable[[Floats, Setup], Peer]] = {
    "hnswlib": hnswlib,
    "faiss-ivf": faiss_ivf,
    "faiss-hnsw": faiss_hnsw,
    "pynndescent": pynndescent,
    "brute": brute_force,
    "mllib": mllib,
    "nearest-by": nearest_by,
}

# The distribution whose version is that of the peer.
PACKAGES = {
    "hnswlib": "hnswlib",
    "faiss-ivf": "faiss-cpu",
    "faiss-hnsw": "faiss-cpu",
    "pynndescent": "pynndescent",
    "brute": "torch",
    "mllib": "pyspark",
    "nearest-by": "pyspark",
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

"""Bucket and join: embeddings → the nearest items of each item, with recall measured against the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.algorithms.hashing import Exact, HashFamily, Voronoi, make_hyperplane
from musicrec.algorithms.kernel import SLACK, Members
from musicrec.algorithms.leaders import fit_leaders
from musicrec.algorithms.metrics import mean_with_bound, recall_per_query
from musicrec.algorithms.tuning import choose_tau
from musicrec.arrow import numbers
from musicrec.errors import QualityError
from musicrec.pipeline.context import Context, log
from musicrec.stages import bucket, evaluate, join, sample
from musicrec.storage.session import default_partitions

SONGS_PER_LEADER = 40
# Lists that a task merges or ranks at once; more partitions than the session's only for large catalogs.
ITEMS_PER_PARTITION = 500_000


@dataclass(frozen=True)
class Truth:
    """Exact neighbors of a sample of items: the k-th score is what a found neighbor must reach.

    `scores` (n, k) is NaN and `vectors` (n, k, d) 0 where fewer than k exist.
    """

    queries: Members
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Joined:
    """Songs with their items, the items' neighbors, and scores of a sample for the report."""

    members: DataFrame
    neighbors: DataFrame


def join_neighbors(context: Context, embeddings: DataFrame) -> Joined:
    """Return the nearest items of each item.

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    settings = context.config.neighbors
    with context.stage("compact"):
        members = context.materialize(
            bucket.as_members(embeddings, k=settings.k, one_per_recording=settings.one_per_recording),
            "members",
            schema=schemas.MEMBERS,
        )
        items = bucket.keep_items(members)
        n_items = items.count()
    with context.stage("truth"):
        truth = _find_truth(context, items, n_items=n_items)
    with context.stage("bucket"):
        family, described = _choose_family(context, items, truth, n_items=n_items)
        blocks = context.materialize(bucket.as_blocks(items, family=family), "blocks", schema=schemas.BLOCKS)
        sizes = join.count_items(blocks).toArrow()
    with context.stage("join"):
        neighbors = _join(context, blocks, sizes=sizes, n_homes=family.n_homes)
    context.record["neighbors"] = {
        **described,
        "n_items": n_items,
        **_costs(sizes, n_items=n_items),
        **_measure(context, neighbors, truth),
    }
    _check_recall(context)
    return Joined(members, neighbors)


def _join(context: Context, blocks: DataFrame, *, sizes: pa.Table, n_homes: int) -> DataFrame:
    settings = context.config.neighbors
    n_copies = int(numbers(sizes.column("n_items")).sum())
    n_partitions = max(default_partitions(context.session), n_copies // ITEMS_PER_PARTITION)
    units = join.as_units(
        blocks, sizes=context.session.createDataFrame(sizes), max_unit_rows=settings.max_unit_rows
    )
    kernel = join.JoinSettings(settings.k, n_spare=SLACK if settings.one_per_recording else 0)
    candidates = join.as_candidates(units, n_partitions=n_partitions, settings=kernel)
    if n_homes == 1:
        # An item's only list is its best: nothing to merge, nothing to shuffle again.
        final = candidates.drop("neighbor_recordings")
        return context.materialize(final, "neighbors", schema=schemas.NEIGHBORS)
    candidates = context.materialize(candidates, "candidates", schema=schemas.CANDIDATES)
    merged = join.as_neighbors(candidates, n_partitions=n_partitions, k=settings.k)
    return context.materialize(merged, "neighbors", schema=schemas.NEIGHBORS)


def _find_truth(context: Context, items: DataFrame, *, n_items: int) -> Truth:
    settings, seed = context.config.neighbors, context.config.model.seed
    drawn = sample.keep_sample(
        items, key="item_key", n_rows=n_items, sample_size=settings.n_truth_queries, seed=seed
    ).toArrow()
    queries = evaluate.as_items(drawn)
    exact = evaluate.as_exact_candidates(items, queries=drawn, k=settings.k)
    lists = join.as_neighbors(exact, n_partitions=1, k=settings.k).toArrow().sort_by("item_key")
    keys = _padded(lists.column("neighbor_keys"), settings.k, fill=-1).astype(np.int64)
    scores = _padded(lists.column("scores"), settings.k, fill=math.nan).astype(np.float32)
    return Truth(queries, scores, _vectors_of(context, items, keys))


def _vectors_of(context: Context, items: DataFrame, keys: NDArray[np.int64]) -> NDArray[np.float32]:
    wanted = np.unique(keys[keys != -1])
    table = pa.table({"item_key": pa.array(wanted, type=pa.int64())})
    chosen = F.broadcast(context.session.createDataFrame(table))
    found = evaluate.as_items(items.join(chosen, on="item_key", how="left_semi").toArrow())
    place = np.searchsorted(found.keys, keys).clip(0, max(0, len(found) - 1))
    if not len(found):
        return np.zeros((*keys.shape, found.vectors.shape[1]), dtype=np.float32)
    vectors: NDArray[np.float32] = found.vectors.astype(np.float32)[place]  # (n, k, d)
    vectors[keys == -1] = 0.0
    return vectors


def _choose_family(
    context: Context, items: DataFrame, truth: Truth, *, n_items: int
) -> tuple[HashFamily, dict[str, Any]]:
    settings, seed = context.config.neighbors, context.config.model.seed
    n_leaders = round(n_items / settings.leaf_size)
    one_bucket = n_leaders < 2 and not (settings.hash_family == "hyperplane" and settings.n_bits)
    if settings.hash_family == "exact" or n_items <= settings.exact_below or one_bucket:
        return Exact(), {"hash_family": "exact", "n_buckets": 1}
    if settings.hash_family == "hyperplane":
        n_bits = settings.n_bits or max(1, math.ceil(math.log2(n_leaders)))
        dim = truth.queries.vectors.shape[1]
        family = make_hyperplane(n_tables=settings.n_tables, n_bits=n_bits, dim=dim, seed=seed)
        return family, {"hash_family": "hyperplane", "n_tables": settings.n_tables, "n_bits": n_bits}
    drawn = sample.keep_sample(
        items,
        key="item_key",
        n_rows=n_items,
        sample_size=SONGS_PER_LEADER * n_leaders,
        seed=seed + 1,
    )
    vectors = evaluate.as_items(drawn.toArrow()).vectors.astype(np.float32)
    leaders = fit_leaders(vectors, n_leaders=min(n_leaders, len(vectors)), seed=seed)
    voronoi = _with_tau(Voronoi(leaders, 0.0, settings.max_copies), truth, context)
    return voronoi, {"hash_family": "voronoi", "n_leaders": len(leaders), "tau": round(voronoi.tau, 6)}


def _with_tau(family: Voronoi, truth: Truth, context: Context) -> Voronoi:
    settings = context.config.neighbors
    n_known = (~np.isnan(truth.scores)).sum(axis=1)
    last = truth.scores[np.arange(len(n_known)), np.maximum(n_known - 1, 0)]
    unit = float(np.nanmedian(np.sqrt(np.maximum(0.0, 2.0 - 2.0 * last))))
    if settings.tau:
        return Voronoi(family.leaders, settings.tau * unit, family.max_copies)
    tau = choose_tau(
        family,
        truth.queries.vectors.astype(np.float32),
        truth.vectors,
        ~np.isnan(truth.scores),
        target_recall=settings.target_recall,
        unit=unit,
    )
    return Voronoi(family.leaders, tau, family.max_copies)


def _costs(sizes: pa.Table, *, n_items: int) -> dict[str, Any]:
    n, n_home = (numbers(sizes.column(name)).astype(np.float64) for name in ("n_items", "n_home"))
    return {
        "n_buckets": len(n),
        "largest_bucket": int(n.max()),
        "copies_per_item": round(float(n.sum()) / n_items, 4),
        "pairs_per_item": round(float((n * n_home).sum()) / n_items, 1),
    }


def _measure(context: Context, neighbors: DataFrame, truth: Truth) -> dict[str, Any]:
    queries = context.session.createDataFrame(pa.table({"item_key": pa.array(truth.queries.keys)}))
    found = evaluate.keep_listed(neighbors, queries=queries).toArrow()
    by_key = dict(zip(numbers(found.column("item_key")).tolist(), found.column("scores"), strict=True))
    none = np.empty(0, dtype=np.float32)
    scores = [
        by_key[key].values.to_numpy(zero_copy_only=False) if key in by_key else none
        for key in truth.queries.keys.tolist()
    ]
    recall = mean_with_bound(recall_per_query(truth.scores, scores))
    k = context.config.neighbors.k
    log.info("             recall@%d %.4f (at least %.4f, 95 %%)", k, recall.mean, recall.lower)
    return {
        "k": k,
        "n_truth_queries": len(scores),
        "recall_at_k": round(recall.mean, 6),
        "recall_lower_95": round(recall.lower, 6),
    }


def _check_recall(context: Context) -> None:
    found, wanted = context.record["neighbors"]["recall_at_k"], context.config.neighbors.min_recall
    if found < wanted:
        raise QualityError(
            f"recall@{context.config.neighbors.k} against exact is {found:.4f}, at least {wanted} is wanted",
            where=f"{context.record['neighbors']['hash_family']} on {context.run.table('embeddings')}",
            todo='use neighbors.hash_family = "voronoi" with neighbors.tau = 0, or lower neighbors.min_recall',
        )


def _padded(column: pa.ChunkedArray, width: int, *, fill: float) -> NDArray[Any]:
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(pa.compute.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
    values = pa.compute.list_flatten(lists).to_numpy(zero_copy_only=False)
    padded = np.full((len(lengths), width), fill, dtype=values.dtype if len(values) else np.float64)
    padded[np.arange(width) < lengths[:, None]] = values
    return padded

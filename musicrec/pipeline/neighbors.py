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
from musicrec.algorithms.hashing import Exact, HashFamily, make_hyperplane
from musicrec.algorithms.kernel import SLACK, Members
from musicrec.algorithms.layout import Layout, Loads, estimate_loads, make_layout
from musicrec.algorithms.leaders import fit_leaders
from musicrec.algorithms.metrics import mean_with_bound, recall_per_query
from musicrec.algorithms.spaces import Space, distances
from musicrec.algorithms.tuning import Queries, choose_setting, intrinsic_dimension, make_setting
from musicrec.arrow import numbers
from musicrec.errors import QualityError
from musicrec.pipeline.context import Context, log
from musicrec.stages import bucket, evaluate, join, sample
from musicrec.storage.session import default_partitions, partition_targets

SONGS_PER_LEADER = 40
# Mean items at home in a bucket, from which the cheapest is chosen.
LEAF_SIZES = (1000, 2000, 4000)
MAX_LOAD_SAMPLE = 200_000
MAX_BROADCAST_KEYS = 1_000_000
# Lists that a task merges or ranks at once; more partitions than the session's only for large catalogs.
ITEMS_PER_PARTITION = 500_000


@dataclass(frozen=True)
class Truth:
    """Exact neighbors of a sample of items: the k-th score is what a found neighbor must reach.

    `scores` (n, k) is NaN and `vectors` (n, k, d) 0 where fewer than k exist.
    """

    space: Space
    queries: Members
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32]


@dataclass(frozen=True)
class Joined:
    """Songs with their items, the items' neighbors, and scores of a sample for the report."""

    members: DataFrame
    neighbors: DataFrame


def join_neighbors(context: Context, embeddings: DataFrame, *, space: Space) -> Joined:
    """Return the nearest items of each item.

    Parameters
    ----------
    context : Context
    embeddings : DataFrame
        `schemas.EMBEDDINGS`; vectors of any length.
    space : Space

    Raises
    ------
    QualityError
        The measured recall is below `neighbors.min_recall`.
    """
    with context.stage("compact"):
        members = _compact(context, embeddings, space)
        items = bucket.keep_items(members)
        n_items = items.count()
    with context.stage("truth"):
        truth = _find_truth(context, items, n_items=n_items, space=space)
    with context.stage("tune"):
        plan = _plan_join(context, items, truth, n_items=n_items)
    with context.stage("join"):
        neighbors = _join(context, items, plan)
    context.record["neighbors"] = {
        "n_items": n_items,
        "intrinsic_dimension": _finite(intrinsic_dimension(distances(truth.scores, space.metric))),
        **plan.described,
        **_costs(neighbors, n_items=n_items),
        **_measure(context, neighbors, truth),
    }
    _check_recall(context)
    return Joined(members, neighbors)


@dataclass(frozen=True)
class Plan:
    """How the items will be joined: the hash, where its units go, and what the report says of it."""

    space: Space
    family: HashFamily
    layout: Layout
    described: dict[str, Any]


def _compact(context: Context, embeddings: DataFrame, space: Space) -> DataFrame:
    settings = context.config.neighbors
    packed = bucket.as_vectors(embeddings, one_per_recording=settings.one_per_recording, space=space)
    vectors = context.materialize(packed, "vectors", schema=schemas.VECTORS)
    repeated = bucket.keep_repeated(vectors).persist()
    # Few songs have an equal: their hashes go to the others, which then need no shuffle.
    small = repeated.count() <= MAX_BROADCAST_KEYS
    members = bucket.as_members(vectors, repeated=F.broadcast(repeated) if small else repeated, k=settings.k)
    written = context.materialize(members, "members", schema=schemas.MEMBERS)
    repeated.unpersist()
    return written


def _join(context: Context, items: DataFrame, plan: Plan) -> DataFrame:
    settings, n_partitions = context.config.neighbors, plan.layout.n_partitions
    targets = partition_targets(context.session, n_partitions)
    blocks = bucket.as_blocks(items, family=plan.family, space=plan.space, layout=plan.layout, targets=targets)
    kernel = join.JoinSettings(settings.k, n_spare=SLACK if settings.one_per_recording else 0, space=plan.space)
    candidates = join.as_candidates(blocks, n_partitions=n_partitions, settings=kernel)
    if plan.family.n_homes == 1:
        # An item's only list is its best: nothing to merge, nothing to shuffle again.
        final = candidates.drop("neighbor_recordings")
        return context.materialize(final, "neighbors", schema=schemas.NEIGHBORS)
    candidates = context.materialize(candidates, "candidates", schema=schemas.CANDIDATES)
    merged = join.as_neighbors(candidates, n_partitions=n_partitions, k=settings.k)
    return context.materialize(merged, "neighbors", schema=schemas.NEIGHBORS)


def _find_truth(context: Context, items: DataFrame, *, n_items: int, space: Space) -> Truth:
    settings, seed = context.config.neighbors, context.config.model.seed
    drawn = sample.keep_sample(
        items, key="item_key", n_rows=n_items, sample_size=settings.n_truth_queries, seed=seed
    ).toArrow()
    queries = evaluate.as_items(drawn, space.vector_type)
    exact = evaluate.as_exact_candidates(items, queries=drawn, k=settings.k, space=space)
    lists = join.as_neighbors(exact, n_partitions=1, k=settings.k).toArrow().sort_by("item_key")
    keys = _padded(lists.column("neighbor_keys"), settings.k, fill=-1).astype(np.int64)
    scores = _padded(lists.column("scores"), settings.k, fill=math.nan).astype(np.float32)
    return Truth(space, queries, scores, _vectors_of(context, items, keys, space=space))


def _vectors_of(
    context: Context, items: DataFrame, keys: NDArray[np.int64], *, space: Space
) -> NDArray[np.float32]:
    wanted = np.unique(keys[keys != -1])
    table = pa.table({"item_key": pa.array(wanted, type=pa.int64())})
    chosen = F.broadcast(context.session.createDataFrame(table))
    found = evaluate.as_items(items.join(chosen, on="item_key", how="left_semi").toArrow(), space.vector_type)
    place = np.searchsorted(found.keys, keys).clip(0, max(0, len(found) - 1))
    if not len(found):
        return np.zeros((*keys.shape, 1), dtype=np.float32)
    vectors: NDArray[np.float32] = space.as_found(found.vectors.astype(np.float32))[place]  # (n, k, d)
    vectors[keys == -1] = 0.0
    return vectors


def _plan_join(context: Context, items: DataFrame, truth: Truth, *, n_items: int) -> Plan:
    settings = context.config.neighbors
    n_leaders = [round(n_items / size) for size in ([settings.leaf_size] if settings.leaf_size else LEAF_SIZES)]
    hyperplane = settings.hash_family == "hyperplane"
    one_bucket = max(n_leaders) < 2 and not (hyperplane and settings.n_bits)
    if settings.hash_family == "exact" or n_items <= settings.exact_below or one_bucket:
        everything = np.zeros((max(1, n_items), 1), dtype=np.int64)
        loads = estimate_loads(everything, n_homes=1, n_items=n_items)
        return _as_plan(context, truth.space, Exact(), loads, n_items=n_items, described={"hash_family": "exact"})
    drawn = sample.keep_sample(
        items,
        key="item_key",
        n_rows=n_items,
        sample_size=SONGS_PER_LEADER * max(n_leaders),
        seed=context.config.model.seed + 1,
    )
    # Mixed, so that the first ones are a sample, too, whatever the keys are.
    mixed = np.random.default_rng(context.config.model.seed).permutation(
        evaluate.as_items(drawn.toArrow(), truth.space.vector_type).vectors.astype(np.float32)
    )
    if hyperplane:
        return _plan_hyperplane(context, mixed, truth.space, n_items=n_items, n_leaders=max(n_leaders))
    return _plan_voronoi(context, mixed, truth, n_items=n_items, n_leaders=n_leaders)


def _plan_hyperplane(
    context: Context, vectors: NDArray[np.float32], space: Space, *, n_items: int, n_leaders: int
) -> Plan:
    settings = context.config.neighbors
    n_bits = settings.n_bits or max(1, math.ceil(math.log2(n_leaders)))
    found, asking = space.as_found(vectors), space.as_asking(vectors)
    family = make_hyperplane(
        n_tables=settings.n_tables, n_bits=n_bits, dim=found.shape[1], seed=context.config.model.seed
    )
    loads = estimate_loads(family.assign(found, asking), n_homes=family.n_homes, n_items=n_items)
    described = {"hash_family": "hyperplane", "n_tables": settings.n_tables, "n_bits": n_bits}
    return _as_plan(context, space, family, loads, n_items=n_items, described=described)


def _plan_voronoi(
    context: Context, vectors: NDArray[np.float32], truth: Truth, *, n_items: int, n_leaders: list[int]
) -> Plan:
    settings, space = context.config.neighbors, truth.space
    found, asking = space.as_found(vectors), space.as_asking(vectors)
    asked = truth.queries.vectors.astype(np.float32)
    standing = space.as_asking(asked)
    queries = Queries(
        space.as_found(asked) if standing is None else standing, truth.vectors, ~np.isnan(truth.scores)
    )
    choices = []
    for n in sorted({min(n, len(found)) for n in n_leaders if n >= 2}):
        leaders = fit_leaders(
            found[: SONGS_PER_LEADER * n],
            n_leaders=n,
            seed=context.config.model.seed,
            spherical=space.metric != "euclidean",
        )
        choices.append(
            make_setting(
                leaders,
                queries=queries,
                sample=found[:MAX_LOAD_SAMPLE],
                asking=None if asking is None else asking[:MAX_LOAD_SAMPLE],
                n_items=n_items,
                max_copies=settings.max_copies,
                target_recall=settings.target_recall,
                tau=settings.tau or None,
            )
        )
    chosen = choose_setting(choices, target_recall=settings.target_recall, n_items=n_items)
    described = {
        "hash_family": "voronoi",
        "n_leaders": len(chosen.family.leaders),
        "tau": round(chosen.family.tau, 6),
    }
    return _as_plan(context, space, chosen.family, chosen.loads, n_items=n_items, described=described)


def _as_plan(
    context: Context, space: Space, family: HashFamily, loads: Loads, *, n_items: int, described: dict[str, Any]
) -> Plan:
    n_partitions = max(default_partitions(context.session), int(loads.n_copies) // ITEMS_PER_PARTITION)
    layout = make_layout(loads, max_unit_rows=context.config.neighbors.max_unit_rows, n_partitions=n_partitions)
    described = {
        **described,
        "n_buckets": len(loads.buckets),
        "n_units": len(layout.partitions),
        "n_partitions": n_partitions,
        # Of a sample, as the layout is.
        "copies_per_item": round(loads.n_copies / n_items, 4),
    }
    return Plan(space, family, layout, described)


def _costs(neighbors: DataFrame, *, n_items: int) -> dict[str, Any]:
    costs = evaluate.keep_costs(neighbors).toArrow()
    pairs = numbers(costs.column("n_pairs")).astype(np.float64)
    if not len(pairs):
        return {"pairs_per_item": 0.0, "max_over_mean_task": 1.0}
    return {
        "pairs_per_item": round(float(pairs.sum()) / n_items, 1),
        "max_over_mean_task": round(float(pairs.max() / pairs.mean()), 4),
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
    recalls = recall_per_query(truth.scores, scores)
    recall = mean_with_bound(recalls)
    k = context.config.neighbors.k
    log.info("             recall@%d %.4f (at least %.4f, 95 %%)", k, recall.mean, recall.lower)
    target = context.config.neighbors.target_recall
    if recall.lower < target:
        log.warning("             recall target %.4f missed: raise neighbors.max_copies or leaf_size", target)
    return {
        "k": k,
        "target_recall": target,
        "target_met": bool(recall.lower >= target),
        "n_truth_queries": len(scores),
        "recall_at_k": round(recall.mean, 6),
        "recall_lower_95": round(recall.lower, 6),
        "recall_by_density": [round(float(r), 4) for r in _by_density(recalls, truth)],
    }


def _by_density(recalls: NDArray[np.float64], truth: Truth) -> list[float]:
    """Return the mean recall of ten groups of queries, from the densest surroundings to the sparsest."""
    n_known = (~np.isnan(truth.scores)).sum(axis=1)
    last = truth.scores[np.arange(len(n_known)), np.maximum(n_known - 1, 0)]
    order = np.argsort(-np.nan_to_num(last, nan=-2.0), kind="stable")
    return [float(recalls[rows].mean()) for rows in np.array_split(order, 10) if len(rows)]


def _finite(value: float) -> float | None:
    """Return the value as JSON can hold it."""
    return round(value, 2) if math.isfinite(value) else None


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

"""Bucket and join: embeddings → the nearest items of each item, with recall measured against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec import schemas
from musicrec.algorithms.kernel import SLACK
from musicrec.algorithms.spaces import Space
from musicrec.arrow import numbers
from musicrec.errors import QualityError
from musicrec.pipeline.context import Context
from musicrec.pipeline.planning import Plan, plan_join
from musicrec.pipeline.truth import find_truth, measure_recall
from musicrec.stages import bucket, evaluate, join
from musicrec.storage.session import partition_targets

MAX_BROADCAST_KEYS = 1_000_000


@dataclass(frozen=True)
class Joined:
    """Songs with their items, and the items' neighbors."""

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
        truth = find_truth(context, items, n_items=n_items, space=space)
    with context.stage("tune"):
        plan = plan_join(context, items, truth, n_items=n_items)
    with context.stage("join"):
        neighbors = _join(context, items, plan)
    context.record["neighbors"] = {
        "n_items": n_items,
        **plan.described,
        **_costs(neighbors, n_items=n_items),
        **measure_recall(context, neighbors, truth),
    }
    _check_recall(context)
    return Joined(members, neighbors)


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


def _costs(neighbors: DataFrame, *, n_items: int) -> dict[str, Any]:
    costs = evaluate.keep_costs(neighbors).toArrow()
    pairs = numbers(costs.column("n_pairs")).astype(np.float64)
    if not len(pairs):
        return {"pairs_per_item": 0.0, "max_over_mean_task": 1.0}
    return {
        "pairs_per_item": round(float(pairs.sum()) / n_items, 1),
        "max_over_mean_task": round(float(pairs.max() / pairs.mean()), 4),
    }


def _check_recall(context: Context) -> None:
    found, wanted = context.record["neighbors"]["recall_at_k"], context.config.neighbors.min_recall
    if found < wanted:
        raise QualityError(
            f"recall@{context.config.neighbors.k} against exact is {found:.4f}, at least {wanted} is wanted",
            where=f"{context.record['neighbors']['hash_family']} on {context.run.table('embeddings')}",
            todo='use neighbors.hash_family = "voronoi" with neighbors.tau = 0, or lower neighbors.min_recall',
        )

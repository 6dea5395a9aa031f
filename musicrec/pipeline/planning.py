"""How the items will be joined: the hash that reaches the target recall, and where its units go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.algorithms.hashing import Exact, HashFamily, make_hyperplane
from musicrec.algorithms.layout import Layout, Loads, estimate_loads, make_layout
from musicrec.algorithms.leaders import fit_leaders
from musicrec.algorithms.spaces import Space
from musicrec.algorithms.tuning import Queries, choose_setting, make_setting
from musicrec.pipeline.context import Context
from musicrec.pipeline.truth import Truth
from musicrec.stages import evaluate, sample
from musicrec.storage.session import default_partitions

SONGS_PER_LEADER = 40
# Mean items at home in a bucket, from which the cheapest is chosen.
LEAF_SIZES = (1000, 2000, 4000)
MAX_LOAD_SAMPLE = 200_000
# Rows that a task joins; more partitions than the session's only for large catalogs.
COPIES_PER_PARTITION = 500_000


@dataclass(frozen=True)
class Plan:
    """How the items will be joined: the hash, where its units go, and what the report says of it."""

    space: Space
    family: HashFamily
    layout: Layout
    described: dict[str, Any]


def plan_join(context: Context, items: DataFrame, truth: Truth, *, n_items: int) -> Plan:
    """Return the cheapest plan that reaches `neighbors.target_recall` on the truth, as memberships alone tell."""
    settings = context.config.neighbors
    n_leaders = [round(n_items / size) for size in ([settings.leaf_size] if settings.leaf_size else LEAF_SIZES)]
    hyperplane = settings.hash_family == "hyperplane"
    one_bucket = max(n_leaders) < 2 and not (hyperplane and settings.n_bits)
    if settings.hash_family == "exact" or n_items <= settings.exact_below or one_bucket:
        everything = np.array([n_items], dtype=np.float64)
        loads = Loads(np.zeros(1, dtype=np.int64), everything, everything)
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
    n_partitions = max(default_partitions(context.session), int(loads.n_copies) // COPIES_PER_PARTITION)
    layout = make_layout(loads, max_unit_rows=context.config.neighbors.max_unit_rows, n_partitions=n_partitions)
    described = {
        **described,
        "n_buckets": len(loads.buckets),
        "n_units": len(layout.partitions),
        "n_partitions": n_partitions,
        # Of a sample, as the layout is.
        "copies_per_item": round(loads.n_copies / max(1, n_items), 4),
    }
    return Plan(space, family, layout, described)

"""What the join would cost at sizes that no one has measured, computed from sizes that someone has.

Of the largest measured size, n0 vectors on c threads, with its mean pairs p0 of an item:

    a = c x (wall - join) / n0      a vector: reading, hashing, storing, truth, looking up, writing
    b = c x join / (n0 x p0)        a pair: a product, its comparison and what follows
    core-seconds(n) = n x (a + b x pairs(n))

    pairs(n) = p0 x (n / n0)^e x sqrt(cell(n) / cell(n0))

e is the slope of log pairs over log n, by least squares, over the measured sizes from a tenth of n0 up: below,
what Spark does once weighs more. An item meets more items where cells are larger, with the root of their size:
cells hold a fixed number of items until there are as many leaders as the driver can train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from watching import GIB

from musicrec.config import NeighborsConfig
from musicrec.errors import ConfigError
from musicrec.neighbors.plan import CELL_SIZES, MAX_LEADERS, SONGS_PER_LEADER

PROJECTED = (100_000_000, 1_000_000_000)
N_CORES = 100
KEY_BYTES, FLOAT_BYTES = 8, 4


@dataclass(frozen=True)
class MeasuredJoin:
    """A join that was measured; `vector_bytes` are those of a stored vector."""

    n: int
    wall_s: float
    join_s: float
    pairs: float
    n_threads: int
    dim: int
    vector_bytes: int


@dataclass(frozen=True)
class CostModel:
    """The costs of a vector and a pair in core-seconds, and how pairs grow from the largest measured size."""

    vector_s: float
    pair_s: float
    exponent: float
    largest: MeasuredJoin

    def pairs(self, n: int) -> float:
        """Return the mean pairs of an item among n."""
        cells = cell_size(n) / cell_size(self.largest.n)
        growth: float = (n / self.largest.n) ** self.exponent
        return self.largest.pairs * growth * math.sqrt(cells)

    def core_seconds(self, n: int, pairs: float) -> float:
        """Return what the join of n vectors costs at so many pairs an item."""
        return n * (self.vector_s + self.pair_s * pairs)


def as_measured(report: dict[str, Any], *, n_threads: int) -> MeasuredJoin:
    """Return what a join's report says of its costs."""
    seconds = {stage["stage"]: stage["seconds"] for stage in report["stages"]}
    dim = report["dim"]
    return MeasuredJoin(
        n=report["n_vectors"],
        wall_s=report["seconds"],
        join_s=seconds["join"],
        pairs=report["pairs_per_item"],
        n_threads=n_threads,
        dim=dim,
        vector_bytes=dim * (2 if report["half_precision"] else FLOAT_BYTES),
    )


def n_leaders(n: int) -> int:
    """Return the leaders of n vectors."""
    return min(MAX_LEADERS, max(1, round(n / CELL_SIZES["voronoi"])))


def cell_size(n: int) -> float:
    """Return the mean vectors of a cell of n vectors."""
    return n / n_leaders(n)


def check_sizes(sizes: Sequence[int]) -> list[int]:
    """Return the sizes that tell of others, rising: those of at least a tenth of the largest.

    Raises
    ------
    ConfigError
        They are fewer than two, or small enough to be compared with all others.
    """
    most, exact_below = max(sizes, default=0), NeighborsConfig().expert.exact_below
    used = sorted({n for n in sizes if 10 * n >= most and n > exact_below})
    if len(used) < 2:
        raise ConfigError(
            f"how the join grows cannot be computed from sizes {', '.join(f'{n:,}' for n in sizes)}",
            todo=f"measure two of at least a tenth of the largest, both above {exact_below:,}",
        )
    return used


def fit_costs(rows: Sequence[MeasuredJoin]) -> CostModel:
    """Return the costs that the rows tell, as the module says.

    Raises
    ------
    ConfigError
        As `check_sizes`.
    """
    used = _fitted(rows)
    largest = used[-1]
    exponent = np.polyfit(np.log([row.n for row in used]), np.log([row.pairs for row in used]), 1)[0]
    return CostModel(
        vector_s=largest.n_threads * (largest.wall_s - largest.join_s) / largest.n,
        pair_s=largest.n_threads * largest.join_s / (largest.n * largest.pairs),
        exponent=float(exponent),
        largest=largest,
    )


def _fitted(rows: Sequence[MeasuredJoin]) -> list[MeasuredJoin]:
    by_size = {row.n: row for row in rows}
    return [by_size[n] for n in check_sizes([*by_size])]


def growth_lines(rows: Sequence[MeasuredJoin], *, sizes: Sequence[int] = PROJECTED) -> list[str]:
    """Return the formula with its constants and a table of the largest measured size and of `sizes`."""
    model = fit_costs(rows)
    largest, smaller = model.largest, _fitted(rows)[:-1]
    most = max(abs(model.core_seconds(row.n, row.pairs) / (row.n_threads * row.wall_s) - 1) for row in smaller)
    return [
        f"core-seconds = vectors x ({model.vector_s * 1e6:.1f} us + pairs x {model.pair_s * 1e9:.2f} ns), from "
        f"{largest.n:,} vectors of {largest.dim} numbers. Measured sizes from {smaller[0].n:,} up are met within "
        f"{100 * most:.0f} %. Pairs grow by {10**model.exponent:.2f} for ten times the vectors, and with the root "
        "of the vectors of a cell. ~ marks what is computed.",
        "",
        f"| vectors | leaders | vectors of a cell | pairs an item | core-hours | {N_CORES} cores, h | shuffle, GB "
        "| stored items, GB | sample at the driver, GB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        _growth_line(largest.n, largest.pairs, largest.n_threads * largest.wall_s, largest, is_measured=True),
        *[_growth_line(n, model.pairs(n), model.core_seconds(n, model.pairs(n)), largest) for n in sizes],
    ]


def _growth_line(
    n: int, pairs: float, core_seconds: float, row: MeasuredJoin, *, is_measured: bool = False
) -> str:
    mark, hours = "" if is_measured else "~", core_seconds / 3600
    # Before compression: cell, key, recording and vector travel; key, recording and vector are stored.
    travels, stored = 3 * KEY_BYTES + row.vector_bytes, 2 * KEY_BYTES + row.vector_bytes
    sample = min(n, SONGS_PER_LEADER * n_leaders(n)) * row.dim * FLOAT_BYTES
    cells = [
        f"{n:,}",
        f"{n_leaders(n):,}",
        f"{cell_size(n):,.0f}",
        f"{mark}{_rounded(pairs) if mark else round(pairs):,}",
        f"{mark}{hours:.2g}" if hours < 10 else f"{mark}{_rounded(hours):,}",
        "" if is_measured else f"{mark}{hours / N_CORES:.2g}",
        *[f"{size / GIB:.1f}" for size in (n * travels, n * stored, sample)],
    ]
    return f"| {' | '.join(cells)} |"


def _rounded(value: float) -> int:
    """Return a number of two digits and zeros: what is computed is not known better."""
    return int(round(value, 1 - math.floor(math.log10(value))))

"""The hash by the data: cells around leaders, of which a query asks those not much farther than the nearest.

**The partition.** Leaders, the centers of a k-means of the catalog (`leaders.py`), cut space into Voronoi cells:
what is nearer to one leader than to all others is in its cell. Each item is stored once, in its own, as in the
inverted file of Sivic and Zisserman (2003, "Video Google") and its form for vectors, IVF (Jégou, Douze and Schmid
2011, "Product quantization for nearest neighbor search"). Cells that follow the data cut fewer of its clusters
than those of hashes that are drawn without it (`hashing.Hyperplane`), which have laws that hold for any data, and
need many tables for the same recall.

**Whom a query asks.** Near neighbors lie beyond the border of a cell, the more of them the more dimensions there
are, so a query asks its own cell and others: several probes in place of several copies (Lv et al. 2007,
"Multi-probe LSH"). IVF asks equally many cells for all. Here a query asks all those whose leaders are within its
reach (`reach.py`), which goes by a local scale: one in its cell's middle asks few, one at a corner many. SPANN
(Chen et al. 2021) takes the distance to the nearest leader for the scale, which is next to nothing where a query
stands at its leader. Here it is the mean distance to the `SCALE_LEADERS` leaders around, as the contextual
dissimilarity of Jégou, Harzallah and Schmid (2007) takes the mean over a neighborhood. Leaders lie close where
songs do, so a multiple of it suits dense and sparse regions better than one distance would.

**How far is chosen.** A neighbor is found exactly if its cell is asked, so each true neighbor of a sampled query
requires some reach: the distance of its cell's leader (`Voronoi.distances`), 0 in the own cell. The recall of any
rule is the share that requires no more; `tune.py` takes the cheapest of which the lower bound of its 95 % interval
reaches the target, before any join has run. The truth that this needs comes from the same cells: by the triangle
inequality, most cannot hold a neighbor (`pruning.py`).

**Two levels.** To compare n vectors with m leaders takes n m products, for many songs more than the join. So
leaders are grouped by about sqrt(m) first-level centers, a vocabulary tree of two levels (Nistér and Stewénius
2006), and a vector looks for its leader among those of the `N_GROUPS` centers next to it. The leaders next to a
cell are looked for among whole groups alike, once for all of its queries.

Half the squared distance of x to c is |x|^2 / 2 + |c|^2 / 2 - x c: one matrix product, and the other two terms are
known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from musicrec.arrays import Doubles, Floats, Ints, concatenate_ranges
from musicrec.compiled import compiled
from musicrec.neighbors.search.hashing import Probes, as_probes, grouped_by
from musicrec.neighbors.search.leaders import Leaders, negative_half_squares
from musicrec.neighbors.search.nearest_centers import nearest_among, nearest_groups, nearest_leaders
from musicrec.neighbors.search.reach import Reach

# Queries of a cell, and leaders, of a product: always as many queries, so that none depends on the others.
PROBE_ROWS = 64
PROBE_LEADERS = 512
# Vectors that look for their leaders at once: while group by group goes by, they stay in the third-level cache.
ASSIGNED_ROWS = 32_768
# Leaders that are looked at one by one where one of them is near.
_STRIDE = 32
# The scale of distances around a query: the mean to so many leaders next to its own. With it, cells of 125 items
# and recall 0.99, a query meets 4,000 items; with margins to the cells' borders 5,800, with a fixed number of
# cells 4,700. Of 16, 32, 48, 64 and 128 leaders, 32 took the fewest.
SCALE_LEADERS = 32
# The nearest leader is looked for among those of so many first-level centers. Of ten million song-like vectors 3
# in a thousand get another, of one million 1; with 4 centers it would be 9 and 4. A vector in the cell of a leader
# that is not its nearest asks the wrong cells, and all others have to ask more to make up for it.
N_GROUPS = 6
# The leaders next to one are looked for among so many times as many: those of the groups next to its own. Of the
# neighbors of ten million song-like vectors 0.936 are in the cells of 512 leaders found among 6 times as many,
# 0.975 among 16 times, 0.983 among 40 times; 0.986 are in the cells of the 512 nearest.
AMONG = 40
# Leaders next to a query's own that it may ask at first; where they are too few, `tune` doubles them.
N_NEAR = 512


@dataclass(frozen=True)
class Voronoi:
    """The cells of the leaders.

    Attributes
    ----------
    leaders : Leaders
    reach : Reach
        A query asks the cells whose leaders are nearer, and its own cell; the scale is the mean distance of the
        `SCALE_LEADERS` leaders next to its own.
    n_near : int
        Of so many leaders next to its own, which counts; at least 1.
    n_tables : int
        1: an item is stored once.
    """

    leaders: Leaders
    reach: Reach
    n_near: int
    n_tables: int = 1

    @property
    def n_cells(self) -> int:
        """A cell a leader."""
        return len(self.leaders)

    def assign(self, vectors: Floats) -> Ints:
        """Return the cell of the nearest leader, (n, 1): of those of the first-level centers next to a vector."""
        starts = range(0, max(1, len(vectors)), ASSIGNED_ROWS)
        return np.concatenate([self._assign(vectors[start : start + ASSIGNED_ROWS]) for start in starts])

    def _assign(self, vectors: Floats) -> Ints:
        first, groups = self.leaders.first, self.leaders.groups
        # A center without leaders is next to nothing.
        toward_first = np.where(np.diff(groups) > 0, _offsets(first), np.float32(-np.inf))  # (n_first,)
        n_groups = min(N_GROUPS, int((np.diff(groups) > 0).sum()))
        asked = nearest_groups(vectors, first, toward_first, n_groups)  # (n, n_groups)
        pairs, starts = grouped_by(asked.ravel(), np.arange(asked.size), len(first))
        rows = pairs // n_groups  # (n * n_groups,), group by group
        return nearest_leaders(vectors, rows, starts, groups, self.leaders.centers, self._shift())[:, None]

    def probes(self, vectors: Floats, home: Ints | None = None) -> Iterator[Probes]:
        """Yield each query's own cell, then the others."""
        home = self.assign(vectors)[:, 0] if home is None else home
        yield as_probes([np.arange(len(home))], [home], self.n_cells)
        rows, cells = [], []
        shift, reach = self._shift(), self.reach  # (n_cells,)
        for own, starts, near in self._around(home):
            row, cell = _within(
                vectors, own, starts, near, self.leaders.centers, shift, reach.own_share, reach.edges, reach.taus
            )  # (n_pairs,)
            rows.append(row)
            cells.append(cell)
        yield as_probes(rows, cells, self.n_cells)

    def distances(self, vectors: Floats, home: Ints) -> Iterator[tuple[Ints, Ints, Floats, Doubles]]:
        """Yield for the queries of each cell their distances to the leaders next to it, and their scales.

        Parameters
        ----------
        vectors : float32 array, shape (n, d)
        home : int64 array, shape (n,)
            Their own cells.

        Yields
        ------
        int64 arrays, shapes (r,) and (near,), float32 array, shape (r, near), float64 array, shape (r,)
            Rows of `vectors`, cells, the own one first, distances, and scales.
        """
        shift = self._shift()  # (n_cells,)
        for own, starts, near in self._around(home):
            for i, cells in enumerate(near):
                rows = own[starts[i] : starts[i + 1]]  # (r,)
                centers = np.ascontiguousarray(self.leaders.centers[cells])  # (near, d)
                yield rows, cells, *_distances(vectors, rows, centers, shift[cells])

    def _shift(self) -> Floats:
        return _offsets(self.leaders.centers)

    def _around(self, home: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield rows of queries, group by group: where those of each cell begin, and the leaders next to it.

        int64 arrays, shapes (r,), (c + 1,) and (c, near), of groups of c cells with r queries.
        """
        rows, starts = grouped_by(np.ascontiguousarray(home), np.arange(len(home)), self.n_cells)  # (n,)
        for cells, near in self._near(np.flatnonzero(np.diff(starts))):
            bounds = np.append(starts[cells], starts[cells[-1] + 1])  # (c + 1,)
            yield rows[bounds[0] : bounds[-1]], bounds - bounds[0], near

    def _near(self, cells: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield some of the cells (rising), all of one group, and the leaders next to each, that first."""
        centers, first, groups = self.leaders.centers, torch.from_numpy(self.leaders.first), self.leaders.groups
        shift, sizes, toward_first = self._shift(), np.diff(groups), negative_half_squares(first)
        group = np.searchsorted(groups, cells, side="right") - 1  # (len(cells),)
        for number in np.unique(group).tolist():
            # Leaders of whole groups, the nearest first: the products then serve all cells of the group.
            toward = torch.addmv(toward_first, first, first[number])  # (n_first,)
            order = torch.argsort(toward, descending=True).numpy()
            n_groups = int(np.searchsorted(np.cumsum(sizes[order]), AMONG * self.n_near)) + 1
            # Its own group is among them, also where products overflow.
            asked = np.append(number, order[:n_groups][order[:n_groups] != number])
            among = concatenate_ranges(groups[asked], sizes[asked])  # (m,)
            own = cells[group == number]  # (c,)
            near = nearest_among(
                centers[own], own - groups[number], centers[among], shift[among], min(self.n_near, len(among))
            )  # (c, near)
            yield own, among[near]


def _offsets(centers: Floats) -> Floats:
    return negative_half_squares(torch.from_numpy(centers)).numpy()  # (m,)


@compiled
def _halves(vectors: Floats, rows: Ints, centers: Floats, shift: Floats, block: Floats, halves: Floats) -> None:
    """Write half the squares of the distances of some vectors to centers, whose negative half squares are `shift`.

    Always a product of `PROBE_ROWS` rows, so that it does not depend on how many queries a cell has.
    """
    for i in range(len(rows)):
        block[i] = vectors[rows[i]]  # (d,)
    np.dot(block, centers.T, halves)  # (PROBE_ROWS, n_centers)
    for i in range(len(rows)):
        own = np.float32(0.0)
        for j in range(block.shape[1]):
            own += block[i, j] * block[i, j]
        for j in range(len(shift)):
            halves[i, j] = own / np.float32(2.0) - shift[j] - halves[i, j]


@compiled
def _scale(halves: Floats, row: int) -> float:
    """Return the mean distance of a query to the first leaders."""
    n = min(SCALE_LEADERS, halves.shape[1])
    total = 0.0
    for j in range(n):
        total += np.sqrt(max(0.0, 2.0 * halves[row, j]))
    mean: float = max(total / n, 1e-12)
    return mean


@compiled
def _distances(vectors: Floats, rows: Ints, centers: Floats, shift: Floats) -> tuple[Floats, Doubles]:
    """Return the distances of some vectors to centers, (n_rows, n_centers), and their scales, (n_rows,)."""
    distances, scales = np.empty((len(rows), len(centers)), dtype=np.float32), np.empty(len(rows))
    block = np.zeros((PROBE_ROWS, vectors.shape[1]), dtype=np.float32)
    halves = np.empty((PROBE_ROWS, len(centers)), dtype=np.float32)
    for start in range(0, len(rows), PROBE_ROWS):
        some = rows[start : start + PROBE_ROWS]  # at most (PROBE_ROWS,)
        _halves(vectors, some, centers, shift, block, halves)  # (PROBE_ROWS, n_centers)
        for i in range(len(some)):
            scales[start + i] = _scale(halves, i)
            for j in range(len(centers)):
                distances[start + i, j] = np.sqrt(max(0.0, 2.0 * halves[i, j]))
    return distances, scales


@compiled
def _longest_half(halves: Floats, row: int, own_share: float, edges: Doubles, taus: Doubles) -> float:
    """Return half the square of how far a query looks (`Reach.of`); its own leader is the first."""
    own = np.sqrt(max(0.0, 2.0 * halves[row, 0]))
    tenth = 0
    while tenth < len(edges) and own > edges[tenth]:
        tenth += 1
    longest = max(0.0, own_share * own + taus[tenth] * _scale(halves, row))
    half: float = longest * longest / 2.0
    return half


@compiled
def _within(
    vectors: Floats, rows: Ints, starts: Ints, near: Ints, centers: Floats, shift: Floats,
    own_share: float, edges: Doubles, taus: Doubles,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:  # fmt: skip
    """Return rows, and the cells next to theirs whose leaders are within reach."""
    n_near = near.shape[1]
    block = np.zeros((PROBE_ROWS, vectors.shape[1]), dtype=np.float32)
    buffer = np.empty(PROBE_ROWS * PROBE_LEADERS, dtype=np.float32)
    near_centers = np.empty((PROBE_LEADERS, vectors.shape[1]), dtype=np.float32)
    near_shift, reach = np.empty(PROBE_LEADERS, dtype=np.float32), np.empty(len(rows), dtype=np.float32)
    found_rows = np.empty(64 * len(rows), dtype=np.int32)
    found_cells = np.empty(len(found_rows), dtype=np.int32)
    n = 0
    for i_cell in range(len(near)):
        # The leaders in tiles, which stay in the second-level cache while all queries of the cell go by.
        for first in range(0, n_near, PROBE_LEADERS):
            width = min(PROBE_LEADERS, n_near - first)
            for j in range(width):
                cell = near[i_cell, first + j]
                near_centers[j], near_shift[j] = centers[cell], shift[cell]
            for start in range(starts[i_cell], starts[i_cell + 1], PROBE_ROWS):
                some = rows[start : min(start + PROBE_ROWS, starts[i_cell + 1])]
                halves = buffer[: PROBE_ROWS * width].reshape(PROBE_ROWS, width)  # (PROBE_ROWS, width)
                _halves(vectors, some, near_centers[:width], near_shift[:width], block, halves)
                if n + halves.size > len(found_rows):
                    more = np.empty(len(found_rows) + halves.size, dtype=np.int32)
                    found_rows, found_cells = np.append(found_rows, more), np.append(found_cells, more)
                for i in range(len(some)):
                    if first == 0:
                        reach[start + i] = _longest_half(halves, i, own_share, edges, taus)
                        # The own cell, which is the first, has been asked.
                        halves[i, 0] = np.inf
                    n = _add_within(
                        halves, i, reach[start + i], some[i], near[i_cell, first : first + width],
                        found_rows, found_cells, n,
                    )  # fmt: skip
    return found_rows[:n], found_cells[:n]


@compiled
def _add_within(
    halves: Floats, i: int, reach: np.float32, row: int, cells: Ints,
    found_rows: NDArray[np.int32], found_cells: NDArray[np.int32], n: int,
) -> int:  # fmt: skip
    """Add the cells within reach to what was found; return how many these are."""
    for start in range(0, len(cells), _STRIDE):
        stop = min(start + _STRIDE, len(cells))
        n_within = np.int32(0)
        for j in range(start, stop):
            n_within += np.int32(halves[i, j] <= reach)
        if n_within:
            for j in range(start, stop):
                # Written in any case and kept only if near: no branch to mispredict.
                found_rows[n], found_cells[n] = row, cells[j]
                n += int(halves[i, j] <= reach)
    return n

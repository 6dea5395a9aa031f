"""Where the cells lie, and how the queries are dealt out to tasks.

Cells follow each other in parts, one file each. The queries are the items of the first table in the same order,
cut into ranges of equal cost and bounded size: a range may begin and end within a cell, so a cell that holds half
of the catalog is many tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Doubles, Ints
from musicrec.neighbors.search.items import Items, concatenate

# Rows made ready for comparison at once: enough to share the overhead of cells of a hundred.
CHUNK_ROWS = 8192


@dataclass(frozen=True)
class CellIndex:
    """Where the items of each cell are.

    Attributes
    ----------
    starts : int64 array, shape (n_cells + 1,)
        Cell c holds the rows starts[c] .. starts[c + 1] of all rows.
    first_cells : int64 array, shape (n_parts + 1,)
        Part p holds the cells first_cells[p] .. first_cells[p + 1].
    """

    starts: Ints
    first_cells: Ints

    @property
    def counts(self) -> Ints:
        """Items of each cell, (n_cells,)."""
        return np.diff(self.starts)

    @property
    def bounds(self) -> Ints:
        """The first row of each part, and the end, (n_parts + 1,)."""
        return self.starts[self.first_cells]


@dataclass(frozen=True)
class Spans:
    """Rows of some cells: firsts[i] .. lasts[i] are of the one at `cell_indices[i]` among these, (n,) each."""

    cell_indices: Ints
    firsts: Ints
    lasts: Ints


class CellReader:
    """Reads items across parts.

    Parameters
    ----------
    read : callable
        Returns the items of a part.
    index : CellIndex
    """

    def __init__(self, read: Callable[[int], Items], index: CellIndex) -> None:
        self._read, self._index = read, index
        self._bounds = index.bounds
        self._parts: dict[int, Items] = {}

    def rows(self, start: int, stop: int) -> Items:
        """Return rows start..stop of all rows, at least one."""
        return self._ranges([(start, stop)])

    def at(self, rows: Ints) -> Items:
        """Return the items at some of all rows, at least one, rising."""
        return self._ranges([(row, row + 1) for row in rows.tolist()])

    def _ranges(self, ranges: Sequence[tuple[int, int]]) -> Items:
        """Return the items of ranges of all rows, of which one at least is not empty; each part is asked once."""
        by_part: list[tuple[int, list[slice]]] = []
        for first, last in ranges:
            start, part = first, int(np.searchsorted(self._bounds, first, side="right")) - 1
            while start < last:
                end = min(last, int(self._bounds[part + 1]))
                if end > start:
                    before = int(self._bounds[part])
                    if not by_part or by_part[-1][0] != part:
                        by_part.append((part, []))
                    by_part[-1][1].append(slice(start - before, end - before))
                    start = end
                part += 1
        return concatenate([self._part(part).slices(slices) for part, slices in by_part])

    def chunks(self, cells: Ints) -> Iterator[tuple[Items, Spans]]:
        """Yield the items of some cells, as many as are worth while at a time.

        Parameters
        ----------
        cells : int64 array
            Rising.

        Yields
        ------
        Items
        Spans
            Of the cells. A cell may come in several.
        """
        ranges: list[tuple[int, int]] = []
        spans: list[tuple[int, int, int]] = []
        n_held = 0
        bounds = zip(self._index.starts[cells].tolist(), self._index.starts[cells + 1].tolist(), strict=True)
        for index, (start, end) in enumerate(bounds):
            first = start
            while first < end:
                last = min(end, first + CHUNK_ROWS - n_held)
                spans.append((index, n_held, n_held + last - first))
                # Cells that follow each other are read at once.
                if ranges and ranges[-1][1] == first:
                    ranges[-1] = (ranges[-1][0], last)
                else:
                    ranges.append((first, last))
                n_held, first = n_held + last - first, last
                if n_held == CHUNK_ROWS:
                    yield self._ranges(ranges), Spans(*np.array(spans).T.copy())
                    ranges, spans, n_held = [], [], 0
        if ranges:
            yield self._ranges(ranges), Spans(*np.array(spans).T.copy())

    def _part(self, part: int) -> Items:
        if part not in self._parts:
            self._parts[part] = self._read(part)
        return self._parts[part]


def cut_parts(counts: Doubles, *, n_parts: int) -> Ints:
    """Return the first cell of each part, and the end: parts of about equally many items, (n_parts + 1,)."""
    so_far = np.cumsum(counts)
    wanted = so_far[-1] * np.arange(1, n_parts) / n_parts
    inner = np.searchsorted(so_far, wanted, side="left") + 1
    return np.concatenate([[0], np.minimum(inner, len(counts)), [len(counts)]]).astype(np.int64)


def cut_units(starts: Ints, cost: Doubles, *, n_units: int, max_rows: int) -> Ints:
    """Return the first row of each unit, and the end, (n_cut + 1,), rising.

    Parameters
    ----------
    starts : int64 array, shape (n_cells + 1,)
        Of the cells whose items ask.
    cost : float64 array, shape (n_cells,)
        Of one item of each cell.
    n_units : int
        About so many units of equal cost; more, in steps of a quarter, where they would have too many rows. A step
        is a round of all cores, where there are four units for each: one unit more would keep one of them busy.
    max_rows : int
        At least 1. Units that would still have more are cut further.
    """
    so_far = np.concatenate([[0.0], np.cumsum(np.diff(starts) * cost)])
    if so_far[-1] <= 0:
        return starts[[0, -1]] if starts[-1] > starts[0] else starts[:1]
    step = max(1, n_units // 4)
    fewest = max(n_units, -(-int(starts[-1] - starts[0]) // (max_rows * step)) * step)
    for n in range(fewest, 2 * fewest + 1, step):
        even = np.interp(np.linspace(0.0, so_far[-1], n + 1), so_far, starts)
        bounds = np.unique(np.rint(even).astype(np.int64))
        if np.diff(bounds).max(initial=0) <= max_rows:
            break
    cuts = [
        np.linspace(first, last, -(-(last - first) // max_rows) + 1)[:-1]
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    return np.append(np.concatenate(cuts), bounds[-1]).astype(np.int64)

"""Blocks → the nearest items of each item.

A bucket is cut into units: a part of its items, those at home in it as queries, against all of its items.
Parts are bounded, so a task holds one part of queries and one part of candidates however large the bucket is,
and a bucket that holds half of the catalog is many tasks. Nothing depends on which blocks arrived together: a
part is sorted by key before it is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import torch
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.algorithms.kernel import Lists, Members, merge_lists, nearest_in_bucket
from musicrec.algorithms.merging import Runs, merge_runs, sums_by
from musicrec.algorithms.spaces import Space
from musicrec.arrow import list_column, numbers, present_columns
from musicrec.schemas import CANDIDATES, NEIGHBORS

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class JoinSettings:
    """What the leaf kernel needs to know.

    An item of several recordings keeps `n_spare` neighbors beyond k: each of its songs drops its own recording.
    """

    k: int
    n_spare: int
    space: Space


def as_candidates(blocks: DataFrame, *, n_partitions: int, settings: JoinSettings) -> DataFrame:
    """Return `schemas.CANDIDATES`: the nearest neighbors of each item within its home buckets.

    Parameters
    ----------
    blocks : DataFrame
        `schemas.BLOCKS`.
    n_partitions : int
        Of the layout that made the blocks.
    settings : JoinSettings
    """
    # A unit must meet in one task, its own part first: there the queries are.
    together = blocks.repartition(n_partitions, "target").sortWithinPartitions(
        "bucket", "unit", F.col("part") != F.col("unit"), "part"
    )
    return together.mapInArrow(_joiner(settings), CANDIDATES)


def as_neighbors(candidates: DataFrame, *, n_partitions: int, k: int) -> DataFrame:
    """Return `schemas.NEIGHBORS`: the lists that an item has from several places merged."""
    # Lists of one item must meet; sorted, so that a worker holds one batch and not its whole partition.
    together = candidates.repartition(n_partitions, "item_key").sortWithinPartitions("item_key")
    return together.mapInArrow(_merger(k), NEIGHBORS)


def _arrays(block: dict[str, Any], vector_type: str) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return (
        np.frombuffer(block["keys"], dtype=np.int64),
        np.frombuffer(block["recordings"], dtype=np.int64),
        np.frombuffer(block["vectors"], dtype=vector_type).reshape(block["n"], -1),
    )


def _joiner(settings: JoinSettings) -> Callable[[Batches], Batches]:
    def join_batches(batches: Batches) -> Batches:
        torch.set_num_threads(1)
        unit: _Unit | None = None
        vector_type = settings.space.vector_type
        for (bucket, number), blocks in _by_part(batches):
            if unit is None or unit.name != (bucket, number):
                if unit is not None:
                    yield from unit.as_batches()
                unit = _Unit((bucket, number), blocks, settings)
            else:
                unit.add(_members(blocks, vector_type))
        if unit is not None:
            yield from unit.as_batches()

    return join_batches


def _by_part(batches: Batches) -> Iterator[tuple[tuple[int, int], list[dict[str, Any]]]]:
    """Yield the blocks of one part of one unit together, in the order of the sort."""
    held: list[dict[str, Any]] = []
    name: tuple[int, int, int] | None = None
    for batch in batches:
        for block in batch.to_pylist():
            block_name = (block["bucket"], block["unit"], block["part"])
            if held and block_name != name:
                yield (held[0]["bucket"], held[0]["unit"]), held
                held = []
            name = block_name
            held.append(block)
    if held:
        yield (held[0]["bucket"], held[0]["unit"]), held


def _members(blocks: list[dict[str, Any]], vector_type: str) -> Members:
    """Return the items of blocks by rising key."""
    arrays = zip(*(_arrays(block, vector_type) for block in blocks), strict=True)
    return Members(*(np.concatenate(a) for a in arrays)).sorted()


class _Unit:
    """The queries of a unit and their best neighbors so far."""

    def __init__(self, name: tuple[int, int], blocks: list[dict[str, Any]], settings: JoinSettings) -> None:
        self.name = name
        self._settings = settings
        # A part of a large bucket may hold no item: then the first part that comes is another unit's.
        home = [block for block in blocks if block["is_home"] and block["part"] == name[1]]
        self._queries = _members(home, settings.space.vector_type) if home else None
        self._lists: Lists | None = None
        self._n_compared = 0
        self.add(_members(blocks, settings.space.vector_type))

    def add(self, candidates: Members) -> None:
        """Compare the queries with one more part of the bucket."""
        if self._queries is None:
            return
        self._n_compared += len(candidates)
        found = nearest_in_bucket(
            self._queries,
            candidates,
            k=self._settings.k,
            n_spare=self._settings.n_spare,
            metric=self._settings.space.metric,
        )
        self._lists = found if self._lists is None else merge_lists(self._lists, found)

    def as_batches(self) -> Batches:
        """Yield the lists as a batch of `schemas.CANDIDATES`, none where nobody asks."""
        lists = self._lists
        if self._queries is None or lists is None:
            return
        # An item of one recording needs no more than k; NaN ends its list there.
        one_recording = self._queries.recordings != self._queries.keys
        lists.scores[one_recording, self._settings.k :] = np.nan
        columns: list[pa.Array] = present_columns(
            ~np.isnan(lists.scores), lists.keys, lists.recordings, lists.scores
        )
        n_compared = np.full(len(self._queries), self._n_compared, dtype=np.int64)
        columns = [pa.array(self._queries.keys), pa.array(n_compared), *columns]
        yield pa.RecordBatch.from_arrays(columns, names=CANDIDATES.names)


def _merger(k: int) -> Callable[[Batches], Batches]:
    def merge_batches(batches: Batches) -> Batches:
        held: pa.Table | None = None
        for batch in batches:
            table = pa.Table.from_batches([batch])
            table = pa.concat_tables([held, table]) if held is not None else table
            keys = numbers(table.column("item_key"))
            if not len(keys):
                continue
            # The last item may go on in the next batch.
            cut = int(np.searchsorted(keys, keys[-1]))
            held = table.slice(cut)
            if cut:
                yield _merged(table.slice(0, cut), k=k)
        if held is not None and held.num_rows:
            yield _merged(held, k=k)

    return merge_batches


def _merged(table: pa.Table, *, k: int) -> pa.RecordBatch:
    rows = table.combine_chunks()
    lists = [rows.column(name) for name in ("neighbor_keys", "neighbor_recordings", "scores")]
    lengths = numbers(pa.compute.list_value_length(lists[0])).astype(np.int64)
    items = numbers(rows.column("item_key"))
    runs = Runs(items, lengths, *(numbers(pa.compute.list_flatten(c)) for c in lists))
    merged = merge_runs(runs, k=k)
    columns = [
        pa.array(merged.items),
        pa.array(sums_by(items, numbers(rows.column("n_compared")), merged.items)),
        list_column(merged.keys, merged.lengths),
        list_column(merged.scores, merged.lengths),
    ]
    return pa.RecordBatch.from_arrays(columns, names=NEIGHBORS.names)

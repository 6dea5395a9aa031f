"""Songs that share an item, by their numbers: those with equal vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.arrays import Bools, Floats, Ints, concatenate_ranges
from musicrec.catalog.key_search import NOWHERE, find_keys
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.lists.nearest import SongRows
from musicrec.messages import MEMBER_BLOCKS, WRITTEN, as_row
from musicrec.neighbors.search.rules import NO_CANDIDATE, ListRules, choose
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import MAX_BLOCK_ROWS, Batches, each_block, each_number, joined
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.rows import RowFiles

# The songs of an item, and those of them that a list can hold.
ALL, LISTED = ("starts", "songs", "facts"), ("listed_starts", "listed", "listed_facts")


@dataclass(frozen=True)
class Members:
    """Items of several songs, by range of numbers of the song that names the item.

    The files of a range have its `items` (numbers, rising), with `self_scores`, the score of two songs of one, and
    the songs of each in the order of their numbers: `ALL`, and `LISTED`, as many as lists can hold. `parts` are
    the ranges that have any.
    """

    files: ArrayFiles
    parts: frozenset[int]
    numbered: Numbered

    def expand(self, items: Ints, facts: Ints, *, columns: tuple[str, ...]) -> SongRows:
        """Return the songs of each item: one that is in no file is a song by itself, with its facts.

        Parameters
        ----------
        items : int64 array, shape (n,)
            Numbers of the songs that name the items.
        facts : int64 array, shape (n, n_facts)
            Theirs.
        columns : tuple of str
            `ALL` or `LISTED`.
        """
        lengths = np.ones(len(items), dtype=np.int64)
        found = list(self._find(items, columns))
        for rows, place, (starts, *_) in found:
            lengths[rows] = np.diff(starts)[place]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        songs, song_facts = np.repeat(items, lengths), np.repeat(facts, lengths, axis=0)
        for rows, place, (own_starts, own_songs, own_facts) in found:
            target, source = (
                concatenate_ranges(first, lengths[rows]) for first in (starts[rows], own_starts[place])
            )
            songs[target], song_facts[target] = own_songs[source], own_facts[source]
        return SongRows(starts, songs, song_facts)

    def self_scores(self, items: Ints) -> Floats:
        """Return the score of two songs of each item (n,), NaN for one that is a song by itself."""
        scores = np.full(len(items), np.nan, dtype=np.float32)
        for rows, place, (column,) in self._find(items, ("self_scores",)):
            scores[rows] = column[place]
        return scores

    def _find(self, items: Ints, columns: tuple[str, ...]) -> Iterator[tuple[Ints, Ints, list[NDArray[Any]]]]:
        """Yield by range the rows of items that several songs share, where they stand there, and the columns."""
        for part, rows in each_part(self.numbered.range_of(items)):
            if part in self.parts:
                known, *found = self.files.read(part, "items", *columns)
                place = find_keys(known, items[rows])
                is_here = place != NOWHERE
                yield rows[is_here], place[is_here], found


def as_member_blocks(
    pieces: DataFrame,
    *,
    repeated: RowFiles,
    numbers_of: Sequence[int],
    numbered: Numbered,
    targets: Sequence[int],
) -> DataFrame:
    """Return `messages.MEMBER_BLOCKS` of the songs that share an item.

    Parameters
    ----------
    pieces : DataFrame
        `id`, of `numbers_of`.
    repeated : RowFiles
        `schemas.REPEATED`, in pieces of these numbers.
    numbers_of : sequence of int
    numbered : Numbered
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    """

    def split(batches: Batches) -> Batches:
        for piece in each_number(batches):
            table = repeated.read_piece(numbers_of[piece])
            songs, facts = numbered.of_keys(numbers(table["track_key"]))
            items, _ = numbered.of_keys(numbers(table["item_key"]))
            scores = numbers(table["self_score"])
            for part, rows in each_part(numbered.range_of(items)):
                for start in range(0, len(rows), MAX_BLOCK_ROWS):
                    some = rows[start : start + MAX_BLOCK_ROWS]
                    yield as_row(
                        MEMBER_BLOCKS, target=targets[part], part=part, items=items[some], songs=songs[some],
                        facts=facts[some], scores=scores[some],
                    )  # fmt: skip

    return pieces.mapInArrow(split, MEMBER_BLOCKS)


def write_members(blocks: DataFrame, *, n_ranges: int, k: int, rules: ListRules, files: ArrayFiles) -> DataFrame:
    """Write the items of each range, as `Members` says, and return `messages.WRITTEN`.

    Parameters
    ----------
    blocks : DataFrame
        `messages.MEMBER_BLOCKS`.
    n_ranges, k : int
    rules : ListRules
    files : ArrayFiles
    """

    def write(batches: Batches) -> Batches:
        for part, rows in each_block(batches):
            items, songs, scores = (joined(MEMBER_BLOCKS, name, rows) for name in ("items", "songs", "scores"))
            facts = joined(MEMBER_BLOCKS, "facts", rows).reshape(len(items), -1)
            order = np.lexsort((songs, items))
            items, songs, facts = items[order], songs[order], facts[order]
            names, firsts = np.unique(items, return_index=True)
            starts = np.append(firsts, len(songs))
            listed = is_listed(starts, facts, k=k, rules=rules)
            files.write(
                part, items=names, self_scores=scores[order][firsts], starts=starts, songs=songs, facts=facts,
                listed_starts=np.concatenate([[0], np.cumsum(np.add.reduceat(listed, firsts, dtype=np.int64))]),
                listed=songs[listed], listed_facts=facts[listed],
            )  # fmt: skip
            yield as_row(WRITTEN, piece=part, n_rows=len(songs))

    return blocks.repartition(n_ranges, "target").mapInArrow(write, WRITTEN)


def is_listed(starts: Ints, facts: Ints, *, k: int, rules: ListRules) -> Bools:
    """Return which songs of items a list can hold: the first that the caps allow, (n,).

    Of each wider group one more, and in all as many more as a song may bar as its own.

    Parameters
    ----------
    starts : int64 array, shape (n_items + 1,)
        The songs of item i are starts[i] : starts[i + 1], in order.
    facts : int64 array, shape (n, n_facts)
    k : int
    rules : ListRules
    """
    caps = ListRules(tuple((min(most, k) + int(i > 0),) * 2 for i, (most, _) in enumerate(rules.limits)))
    n_items, n_more = len(starts) - 1, max(most for most, _ in caps.limits)
    nobody = caps.nobody(n_items)
    chosen = choose(caps, starts, facts[:, : caps.n_facts], nobody, k=k + n_more)
    listed = np.zeros(len(facts), dtype=bool)
    listed[chosen[chosen != NO_CANDIDATE]] = True
    return listed

"""Songs by their numbers: a song's number is its place in the order of ids.

Ties "by id" are ties by number, lists are arrays of numbers, and an id is looked up once, where it is published.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.arrays import NO_SONG, Bools, Ints
from musicrec.catalog.key_search import NOWHERE, find_keys
from musicrec.errors import QualityError
from musicrec.spark.arrow import bools
from musicrec.storage.array_files import ArrayFiles


@dataclass(frozen=True)
class Numbered:
    """The numbers of all songs, in files that tasks map into memory.

    Attributes
    ----------
    songs : ArrayFiles
        By range of numbers: `keys`, `facts` (n, n_facts), what the rules of lists need to know, and the ids as
        `offsets` and `text` (UTF-8).
    by_key : ArrayFiles
        By range of keys: `keys`, rising, with their `numbers` and `facts`.
    firsts : int64 array, shape (n_ranges + 1,)
        The first number of each range, and how many songs there are.
    first_ids : tuple of str
        The first id of each range, but for that of the first.
    first_keys : int64 array, shape (n_key_ranges - 1,)
        The first key of each range of keys, but for that of the first.
    """

    songs: ArrayFiles
    by_key: ArrayFiles
    firsts: Ints
    first_ids: tuple[str, ...]
    first_keys: Ints

    @property
    def n_ranges(self) -> int:
        """Ranges of numbers."""
        return len(self.firsts) - 1

    def of_keys(self, keys: Ints) -> tuple[Ints, Ints]:
        """Return the numbers (n,) and the facts (n, n_facts) of songs, by their keys (n,).

        Raises
        ------
        QualityError
            A key is of no song.
        """
        songs = np.empty(len(keys), dtype=np.int64)
        facts = np.empty((len(keys), self.by_key.read(0, "facts")[0].shape[1]), dtype=np.int64)
        for part, rows in self._by_key(keys):
            known, found, of_found = self.by_key.read(part, "keys", "numbers", "facts")
            place = find_keys(known, keys[rows])
            if (place == NOWHERE).any():
                raise QualityError("a list holds a song that the catalog does not have")
            songs[rows], facts[rows] = found[place], of_found[place]
        return songs, facts

    def knows(self, keys: Ints) -> Bools:
        """Return which keys (n,) are those of songs."""
        known: Bools = self._find(keys) != NO_SONG
        return known

    def of_ids(self, ids: pa.StringArray, keys: Ints) -> Ints:
        """Return the numbers of songs by their ids (n,), -1 for those that the catalog does not have.

        Parameters
        ----------
        ids : pyarrow.StringArray
        keys : int64 array, shape (n,)
            The keys that songs of these ids have; by a whole number a song is found many times as fast.
        """
        songs = self._find(keys)
        known = np.flatnonzero(songs != NO_SONG)
        is_same = pc.equal(self.ids(songs[known]), ids.take(pa.array(known)))
        songs[known[~bools(is_same)]] = NO_SONG
        return songs

    def facts(self, songs: Ints) -> Ints:
        """Return the facts of songs, (n, n_facts), by their numbers (n,)."""
        return self._gather("facts", songs)

    def keys(self, songs: Ints) -> Ints:
        """Return the keys of songs, by their numbers (n,)."""
        return self._gather("keys", songs)

    def ids(self, songs: Ints) -> pa.StringArray:
        """Return the ids of songs, by their numbers (n,)."""
        position, chunks, n_before = np.empty(len(songs), dtype=np.int64), [], 0
        for part, rows in each_part(self.range_of(songs)):
            chunks.append(self.ids_of(part).take(pa.array(songs[rows] - self.firsts[part])))
            position[rows] = np.arange(n_before, n_before + len(rows))
            n_before += len(rows)
        return pa.concat_arrays(chunks).take(pa.array(position)) if chunks else pa.array([], type=pa.string())

    def ids_of(self, part: int) -> pa.StringArray:
        """Return the ids of a range, rising."""
        return texts_of(*self.songs.read(part, "offsets", "text"))

    def range_of(self, songs: Ints) -> Ints:
        """Return the range of each number (n,)."""
        ranges: Ints = np.searchsorted(self.firsts, songs, side="right") - 1
        return ranges

    def _by_key(self, keys: Ints) -> Iterator[tuple[int, Ints]]:
        return each_part(np.searchsorted(self.first_keys, keys, side="right"))

    def _find(self, keys: Ints) -> Ints:
        """Return the numbers of songs by their keys (n,); `NO_SONG` where none is."""
        songs = np.empty(len(keys), dtype=np.int64)
        for part, rows in self._by_key(keys):
            known, found = self.by_key.read(part, "keys", "numbers")
            place = find_keys(known, keys[rows])
            songs[rows] = np.where(place != NOWHERE, found[place], NO_SONG)
        return songs

    def _gather(self, name: str, songs: Ints) -> Ints:
        values = np.empty((len(songs), *self.songs.read(0, name)[0].shape[1:]), dtype=np.int64)
        for part, rows in each_part(self.range_of(songs)):
            (column,) = self.songs.read(part, name)
            values[rows] = column[songs[rows] - self.firsts[part]]
        return values


def each_part(parts: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each part (n,) that occurs, 0 or more, with its rows."""
    if not len(parts):
        return
    if (parts == parts[0]).all():
        yield int(parts[0]), np.arange(len(parts))
        return
    counts = np.bincount(parts)
    names = np.flatnonzero(counts)
    # numpy sorts short numbers by their digits, several times as fast.
    order = np.argsort(parts.astype(np.int16) if len(counts) <= 2**15 else parts, kind="stable")
    yield from zip(names.tolist(), np.split(order, np.cumsum(counts[names])[:-1]), strict=True)


def cut_by(ordered: pa.StringArray, borders: tuple[str, ...]) -> Iterator[tuple[int, int, int]]:
    """Yield `part, first, last` of the rows of each range that has any: those from one border up to the next."""
    # Parquet, Spark and Python agree: text is in the order of its code points.
    ends = [bisect_left(ordered, border, key=_as_text) for border in borders]
    for part, (first, last) in enumerate(zip([0, *ends], [*ends, len(ordered)], strict=True)):
        if first < last:
            yield part, first, last


def texts_of(offsets: NDArray[np.int32], text: NDArray[np.uint8]) -> pa.StringArray:
    """Return texts whose bytes in UTF-8 follow each other, text i text[offsets[i] : offsets[i + 1]]."""
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))


def text_arrays(texts: pa.StringArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return `offsets` and `text` of texts, none of them NULL, as `texts_of` takes them."""
    _, offsets, text = texts.buffers()
    starts = np.frombuffer(offsets, dtype="<i4")[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(text, dtype="u1") if text is not None else np.empty(0, dtype="u1")
    return starts - starts[0], content[starts[0] : starts[-1]]


def _as_text(value: pa.StringScalar) -> str:
    text: str = value.as_py()
    return text

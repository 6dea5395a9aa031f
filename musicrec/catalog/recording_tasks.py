"""Songs in pieces → those of one title together → which recording and work each song is of, by range of ids."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.catalog.artists import Parts
from musicrec.catalog.named import TITLE_KEY, Named, as_named, identify
from musicrec.catalog.numbered import cut_by, each_part
from musicrec.catalog.recordings import find_recordings
from musicrec.catalog.works import find_works
from musicrec.messages import WRITTEN, as_row
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.arrow_files import ArrowFiles

# What the array `songs` of a piece says of each song that has a name, in the order of titles.
COLUMNS = ("title", "key", "name", "work", "length", "sound", "row")


@dataclass(frozen=True)
class Pieces:
    """The songs in pieces, as `clean_tasks.write_audited` has written them.

    Attributes
    ----------
    numbers : sequence of int
        Of those that have songs.
    songs : ArrowFiles
        `messages.AUDITED_SONGS`, in the order of ids.
    names : ArrayFiles
        `names_in_order` of each.
    """

    numbers: Sequence[int]
    songs: ArrowFiles
    names: ArrayFiles


def names_in_order(songs: pa.Table) -> dict[str, NDArray[Any]]:
    """Return what recordings and works are found by of the songs that have a name, in the order of titles.

    `songs` (n, 7) has `COLUMNS`; `starts` (n + 1,) and `others`, and `work_starts` and `other_works`, are `Parts`.
    Given are `messages.AUDITED_SONGS`.
    """
    rows = np.flatnonzero(numbers(songs["track_key"]) != numbers(songs["recording_key"]))
    titles = numbers(songs[TITLE_KEY])[rows].view(np.uint64)
    order = np.argsort(titles)
    few = as_named(songs).take(rows[order])
    columns = (titles[order].view(np.int64), few.keys, few.names, few.works, few.lengths, few.sounds, rows[order])
    return {
        "songs": np.stack(columns, axis=1).astype(np.int64),
        "starts": few.others.starts, "others": few.others.hashes,
        "work_starts": few.other_works.starts, "other_works": few.other_works.hashes,
    }  # fmt: skip


def write_releases(
    parts: DataFrame, pieces: Pieces, *, n_parts: int, first_ids: tuple[str, ...], files: ArrayFiles
) -> DataFrame:
    """Write what `Releases` has of each part of all titles, and return `messages.WRITTEN`.

    Parameters
    ----------
    parts : DataFrame
        `id`, the numbers of the parts of all titles.
    pieces : Pieces
    n_parts : int
    first_ids : tuple of str
        The first id of each range but the first, rising.
    files : ArrayFiles
    """

    def find(batches: Batches) -> Batches:
        for part in each_number(batches):
            songs, at = _of_part(part, pieces, n_parts=n_parts)
            recordings, known = find_recordings(songs), identify(songs.keys, songs.names)
            works = find_works(songs, recordings)
            several = np.flatnonzero((recordings != known) | (works != known))
            ranges = _ranges_of(at[several], pieces, first_ids)
            order = np.argsort(ranges, kind="stable")
            starts = np.searchsorted(ranges[order], np.arange(len(first_ids) + 2))
            rows = several[order]
            files.write(part, starts=starts, releases=np.stack([known[rows], recordings[rows], works[rows]]))
            yield as_row(WRITTEN, piece=part, n_rows=len(rows))

    return parts.mapInArrow(find, WRITTEN)


@dataclass(frozen=True)
class Releases:
    """The songs whose recording or work another one names, by part of all titles.

    Attributes
    ----------
    files : ArrayFiles
        `releases` (3, n): songs by `identify`, recordings and works, by range of ids; `starts` of the ranges.
    n_parts : int
    """

    files: ArrayFiles
    n_parts: int

    def of_range(self, number: int) -> NDArray[np.int64]:
        """Return those of a range of ids (3, n)."""
        found = list[NDArray[np.int64]]()
        for part in range(self.n_parts):
            starts, releases = self.files.read(part, "starts", "releases")
            found.append(releases[:, starts[number] : starts[number + 1]])
        return np.concatenate(found, axis=1)


def _of_part(part: int, pieces: Pieces, *, n_parts: int) -> tuple[Named, NDArray[np.int64]]:
    """Return the songs of a part of all titles, and of each the position of its piece and its row there (n, 2)."""
    borders = [(2**64 * i) // n_parts for i in (part, part + 1)]
    found, others, other_works = list[Ints](), list[Parts](), list[Parts]()
    for position, piece in enumerate(pieces.numbers):
        songs, *parts = pieces.names.read(piece, "songs", "starts", "others", "work_starts", "other_works")
        titles = songs[:, 0].view(np.uint64)
        first, last = (len(titles) if b >= 2**64 else int(np.searchsorted(titles, np.uint64(b))) for b in borders)
        found.append(np.column_stack([songs[first:last], np.full(last - first, position)]))
        others.append(Parts(*parts[:2]).slice(first, last))
        other_works.append(Parts(*parts[2:]).slice(first, last))
    whole = np.concatenate(found)
    _, keys, names, works, lengths, sounds = (np.ascontiguousarray(whole[:, i]) for i in range(6))
    of_names, of_works = Parts.joined(others), Parts.joined(other_works)
    several = Named(keys, names, works, of_names, of_works, lengths.astype(np.int32), sounds)
    return several, whole[:, [7, 6]]


def _ranges_of(at: NDArray[np.int64], pieces: Pieces, first_ids: tuple[str, ...]) -> Ints:
    """Return the ranges of songs by their ids (n,): `at` (n, 2) says their pieces, in order of ids, and rows."""
    ranges = np.zeros(len(at), dtype=np.int64)
    for position, some in each_part(at[:, 0]):
        in_order = some[np.argsort(at[some, 1])]
        ids = pieces.songs.read(pieces.numbers[position])["track_id"].chunk(0).take(pa.array(at[in_order, 1]))
        if len(ids) < len(first_ids):
            ranges[in_order] = [bisect_right(first_ids, name) for name in ids.to_pylist()]
            continue
        for part, first, last in cut_by(ids, first_ids):
            ranges[in_order[first:last]] = part
    return ranges


def with_recordings(songs: pa.Table, known: Ints, recordings: Ints, works: Ints) -> pa.Table:
    """Return songs with the keys of their recordings and works in place of their names.

    Parameters
    ----------
    songs : pyarrow.Table
        `messages.AUDITED_SONGS`.
    known, recordings, works : int64 arrays, shape (n,)
        Songs by `identify`, their recordings and their works. Any other song names its own.
    """
    found = identify(*(numbers(songs[name]) for name in ("track_key", "recording_key")))
    order = np.argsort(known)
    row, is_known = np.zeros(len(found), dtype=np.int64), np.zeros(len(found), dtype=np.bool_)
    if len(order):
        place = np.searchsorted(known, found, sorter=order)
        row = order[np.minimum(place, len(order) - 1)]
        is_known = known[row] == found
    for name, keys in (("recording_key", recordings), ("work_key", works)):
        changed = found.copy()
        changed[is_known] = keys[row[is_known]]
        songs = songs.set_column(songs.schema.get_field_index(name), name, pa.array(changed))
    return songs

"""What stands in the published files, range by range, against the lists that it was made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import NO_SONG, Bools, Ints
from musicrec.catalog.numbered import Numbered, cut_by
from musicrec.config_lists import ListsConfig
from musicrec.lists.list_files import ListFiles
from musicrec.lists.nearest import Places
from musicrec.lists.short import Tally, find_reasons, rule_of
from musicrec.lists.sort import as_recommendations
from musicrec.messages import CHECKED, WRITTEN, as_row
from musicrec.neighbors.search.rules import ListRules, find_broken
from musicrec.schemas import REFUSED, STATUS
from musicrec.spark.arrow import gather_batches
from musicrec.spark.tasks import PIECE_ROWS, Batches, each_number, each_part_of
from musicrec.storage.rows import RowFiles

COUNTS = ("n_recommended", "n_not_recommended", "n_recommendations", "n_short_lists")
_CHECKED = pa.schema(
    {
        "part": pa.int32(),
        **dict.fromkeys(COUNTS, pa.int64()),
        "why_none": pa.list_(pa.string()),
        "n_why_none": pa.list_(pa.int64()),
        "why_short": pa.list_(pa.string()),
        "n_why_short": pa.list_(pa.int64()),
        "problems": pa.list_(pa.string()),
        "n_songs": pa.list_(pa.int64()),
        "examples": pa.list_(pa.string()),
        "path": pa.string(),
        "rows": pa.int64(),
        "bytes": pa.int64(),
        "sha256": pa.string(),
        "first_id": pa.string(),
        "last_id": pa.string(),
    }
)


@dataclass(frozen=True)
class Written:
    """Files by range of songs: what is published, and the `schemas.REFUSED` of the ranges that have any."""

    recommendations: RowFiles
    status: RowFiles
    refused: tuple[RowFiles, frozenset[int]]


@dataclass(frozen=True)
class Why:
    """What tells why lists are short: a reason for `of_all`, or rules and how many songs have which facts."""

    of_all: str
    settings: ListsConfig
    rules: ListRules
    tallies: list[Tally]

    def reasons(self, lists: Places, facts: Ints, *, n_songs: int) -> pa.StringArray:
        """Return why each list is short, NULL where it is not.

        Parameters
        ----------
        lists : Places
        facts : int64 array, shape (n, n_facts)
            Of the songs whose lists they are.
        n_songs : int
            Of the catalog.
        """
        n, k = (lists.places != NO_SONG).sum(axis=1), lists.places.shape[1]
        short = np.flatnonzero(n < k)
        reasons = pa.array([self.of_all] * len(short), type=pa.string())
        if not self.of_all and len(short):
            reasons = find_reasons(
                facts[short], self.tallies, n_songs=n_songs, settings=self.settings, rules=self.rules, k=k
            )
        return pc.replace_with_mask(pa.nulls(len(n), pa.string()), pa.array(n < k), reasons)


def write_refused(refused: DataFrame, *, numbered: Numbered, targets: Sequence[int], files: RowFiles) -> DataFrame:
    """Write `schemas.REFUSED` by range of songs and return `messages.WRITTEN`.

    Parameters
    ----------
    refused : DataFrame
        `track_id, reason`; ids are unique.
    numbered : Numbered
    targets : sequence of int
        For each range a number that Spark's hash sends to its partition.
    files : RowFiles
    """

    def split(batches: Batches) -> Batches:
        for table in gather_batches(batches, n_rows=PIECE_ROWS):
            ordered = table.combine_chunks().sort_by("track_id").combine_chunks()
            for part, first, last in cut_by(ordered["track_id"].chunk(0), numbered.first_ids):
                n = last - first
                whole = [pa.array([value] * n, type=pa.int32()) for value in (targets[part], part)]
                columns = [*whole, *(ordered[name].chunk(0).slice(first, n) for name in REFUSED.names[2:])]
                yield pa.RecordBatch.from_arrays(columns, names=REFUSED.names)

    def write(batches: Batches) -> Batches:
        for part, rows in each_part_of(batches):
            files.write(part, rows)
            yield as_row(WRITTEN, piece=part, n_rows=rows.num_rows)

    blocks = refused.select("track_id", "reason").mapInArrow(split, REFUSED)
    return blocks.repartition(numbered.n_ranges, "target").mapInArrow(write, WRITTEN)


def write_checked(ranges: DataFrame, *, lists: ListFiles, why: Why, written: Written) -> DataFrame:
    """Read the recommendations of each range back, check them, write its `schemas.STATUS`; return what was found.

    `messages.CHECKED`, a row for each range.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    lists : ListFiles
        What the recommendations were made of.
    why : Why
        With the rules that they keep.
    written : Written
    """

    def check(batches: Batches) -> Batches:
        for part in each_number(batches):
            found = lists.range(part)
            first, n_songs = lists.numbered.firsts[[part, -1]].tolist()
            problems = find_problems(found, first=first, n_songs=n_songs)
            problems |= find_broken_rules(found, lists.numbered, part=part, rules=why.rules)
            ids = lists.numbered.ids_of(part)
            stored = written.recommendations.read_piece(part)
            is_same = stored.equals(as_recommendations(lists, part))
            (facts,) = lists.numbered.songs.read(part, "facts")
            reasons = why.reasons(found, facts, n_songs=n_songs)
            status = as_status(ids, found, refused=_refused(written, part), reasons=reasons)
            record = written.status.write_recorded(part, status, repeated=["status", "reason"])
            if not (is_same and written.status.read_piece(part).equals(status)):
                problems["what the files hold is not what was written"] = np.arange(len(ids))
            checked = _as_checked(part, ids, found, problems, reasons)
            yield pa.RecordBatch.from_pylist([{**checked, **asdict(record)}], schema=_CHECKED)

    return ranges.mapInArrow(check, CHECKED)


def find_problems(lists: Places, *, first: int, n_songs: int) -> dict[str, Ints]:
    """Return the rows of lists that break a promise, by what is wrong with them.

    Parameters
    ----------
    lists : Places
    first : int
        The number of the song of the first list; those of the others follow.
    n_songs : int
        Of the catalog.
    """
    places, scores = lists.places, lists.scores
    is_taken = places != NO_SONG
    rising = np.sort(places, axis=1)
    nothing = np.zeros((len(places), 1), dtype=bool)
    broken: dict[str, Bools] = {
        "a list has a gap": np.column_stack([nothing, is_taken[:, 1:] & ~is_taken[:, :-1]]),
        "recommends a song that the catalog does not have": (places < NO_SONG) | (places >= n_songs),
        "recommends itself": places == (first + np.arange(len(places)))[:, None],
        "recommends a song twice": np.column_stack(
            [nothing, (rising[:, 1:] == rising[:, :-1]) & (rising[:, 1:] != NO_SONG)]
        ),
        "a score is no cosine": is_taken & ~(np.abs(scores) <= 1),
        "scores rise": np.column_stack([nothing, is_taken[:, 1:] & (scores[:, 1:] > scores[:, :-1])]),
    }
    rows = {problem: np.flatnonzero(where.any(axis=1)) for problem, where in broken.items()}
    return {problem: found for problem, found in rows.items() if len(found)}


def find_broken_rules(lists: Places, numbered: Numbered, *, part: int, rules: ListRules) -> dict[str, Ints]:
    """Return the rows of lists that hold what the rules forbid, by what is wrong with them.

    Parameters
    ----------
    lists : Places
    numbered : Numbered
    part : int
        The range of the songs whose lists they are.
    rules : ListRules
    """
    # What is no song is another problem.
    is_song = (lists.places != NO_SONG) & (lists.places >= 0) & (lists.places < numbered.firsts[-1])
    starts = np.concatenate([[0], np.cumsum(is_song.sum(axis=1))])
    (own,) = numbered.songs.read(part, "facts")
    facts = numbered.facts(lists.places[is_song].astype(np.int64))
    broken = find_broken(rules, starts, facts, own)
    told = ("holds more of an artist, album, work or recording than [lists] allows", "holds what [lists] bars")
    rows = {problem: np.flatnonzero(where) for problem, where in zip(told, broken, strict=True)}
    return {problem: found for problem, found in rows.items() if len(found)}


def as_status(ids: pa.StringArray, lists: Places, *, refused: pa.Table, reasons: pa.StringArray) -> pa.Table:
    """Return the `schemas.STATUS` of a range of songs, and of refused ids that are no song, in the order of ids.

    Parameters
    ----------
    ids : pyarrow.StringArray
        Of the songs, in order.
    lists : Places
    refused : pyarrow.Table
        `track_id, reason`.
    reasons : pyarrow.StringArray
        Of the songs whose lists are not full, else NULL.
    """
    n = (lists.places != NO_SONG).sum(axis=1).astype(np.int32)
    listed = pa.array(n > 0)
    songs = [
        ids,
        pc.if_else(listed, "recommended", "not_recommended"),
        reasons,
        pa.array(n),
    ]
    table = pa.Table.from_arrays(songs, names=STATUS.names)
    lost = refused.filter(pc.invert(pc.is_in(refused["track_id"], value_set=ids)))
    if not lost.num_rows:
        return table
    said = [lost["track_id"], pa.array(["quarantined"] * lost.num_rows), lost["reason"]]
    none = pa.array(np.zeros(lost.num_rows, dtype=np.int32))
    both = pa.concat_tables([table, pa.Table.from_arrays([*said, none], names=STATUS.names)])
    return both.sort_by("track_id").combine_chunks()


def _refused(written: Written, part: int) -> pa.Table:
    files, parts = written.refused
    if part in parts:
        return files.read_piece(part, columns=["track_id", "reason"])
    return pa.table({name: pa.array([], type=pa.string()) for name in ("track_id", "reason")})


def _as_checked(
    part: int, ids: pa.StringArray, lists: Places, problems: dict[str, Ints], reasons: pa.StringArray
) -> dict[str, Any]:
    n = (lists.places != NO_SONG).sum(axis=1)
    why_none = Counter(reasons.filter(pa.array(n == 0)).to_pylist())
    why_short = Counter(map(rule_of, reasons.drop_null().to_pylist()))
    examples = [ids[int(rows[0])].as_py() for rows in problems.values()]
    return {
        "part": part, "n_recommended": int((n > 0).sum()), "n_not_recommended": int((n == 0).sum()),
        "n_recommendations": int(n.sum()), "n_short_lists": int((n < lists.places.shape[1]).sum()),
        "why_short": list(why_short), "n_why_short": list(why_short.values()),
        "why_none": list(why_none), "n_why_none": list(why_none.values()), "problems": list(problems),
        "n_songs": [len(rows) for rows in problems.values()], "examples": examples,
    }  # fmt: skip

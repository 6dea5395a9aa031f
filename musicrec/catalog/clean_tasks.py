"""Rows of a source → pieces of songs and quarantine → ranges of songs in the order of their ids, each id once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from musicrec.arrays import Ints, as_shares
from musicrec.catalog.audit import ANY_YEAR, Audited, audit_rows, whole
from musicrec.catalog.commonest import middle, survey_songs
from musicrec.catalog.derived import as_tracks_table
from musicrec.catalog.facts import count_various, facts_of
from musicrec.catalog.named import as_named, identify
from musicrec.catalog.numbered import cut_by, text_arrays
from musicrec.catalog.recording_tasks import Pieces, Releases, names_in_order, with_recordings
from musicrec.catalog.recordings import find_recordings
from musicrec.catalog.sources import Source
from musicrec.catalog.texts import as_texts, coalesced
from musicrec.catalog.twins import keep_winners
from musicrec.catalog.works import find_works
from musicrec.config import InputConfig
from musicrec.config_lists import ListsConfig
from musicrec.messages import AUDITED, AUDITED_SONGS, WRITTEN_TRACKS, as_row
from musicrec.schemas import QUARANTINE, TRACKS
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import Batches, each_number, numbered_pieces
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.arrow_files import ArrowFiles
from musicrec.storage.rows import RowFiles

# Songs of a piece from which the borders of ranges come, at most.
MAX_DRAWN = 500
NO_QUARANTINE = pa.table({name: pa.array([], type=pa.string()) for name in QUARANTINE.names})
_AUDITED = pa.schema(
    {
        "piece": pa.int64(),
        "n_rows": pa.int64(),
        "n_duplicates": pa.int64(),
        "n_songs": pa.int64(),
        "reasons": pa.list_(pa.string()),
        "n_refused": pa.list_(pa.int64()),
        "missing": pa.list_(pa.string()),
        "n_missing": pa.list_(pa.int64()),
        "drawn_ids": pa.list_(pa.string()),
        "drawn_keys": pa.list_(pa.int64()),
        "common_key": pa.int64(),
        "n_of_key": pa.int64(),
        "n_various": pa.int64(),
    }
)


@dataclass(frozen=True)
class Rules:
    """What a task needs to know of a source.

    Canonical name -> source names, the rules, the last year of songs, and the columns that make `same_key`.
    """

    columns: Mapping[str, tuple[str, ...]]
    settings: InputConfig
    newest_year: int = ANY_YEAR
    same: tuple[str, ...] = ()

    def audited(self, rows: pa.Table, names: Sequence[str]) -> Audited:
        """Return what the rows are, as `audit_rows`, given the names of their columns."""
        rows, columns = rows.rename_columns(names), dict[str, str]()
        for name, sources in self.columns.items():
            columns[name] = sources[0]
            if len(sources) > 1:
                columns[name] = f"⟨{name}⟩"
                several = [as_texts(whole(rows[source])) for source in sources]
                rows = rows.append_column(columns[name], coalesced(several))
        return audit_rows(
            rows, columns=columns, settings=self.settings, newest_year=self.newest_year, same=self.same
        )


def rules_of(source: Source, *, newest_year: int = ANY_YEAR) -> Rules:
    """Return what a task needs to know of a source, and of the last year of songs."""
    return Rules(source.meaning.columns, source.meaning.settings, newest_year, source.same)


def write_audited(
    source: Source, rules: Rules, *, songs: ArrowFiles, names: ArrayFiles, quarantine: RowFiles
) -> DataFrame:
    """Write the songs, pieces in the order of their ids, and the quarantine; return `messages.AUDITED`.

    Parameters
    ----------
    source : Source
    rules : Rules
    songs : ArrowFiles
        Gets `audit.Audited.songs` of the pieces that have any.
    names : ArrayFiles
        Gets what their recordings are found by.
    quarantine : RowFiles
        Gets `schemas.QUARANTINE` of the pieces that have any.
    """
    columns = source.names

    def write(batches: Batches) -> Batches:
        for piece, table in numbered_pieces(batches):
            found = rules.audited(table, columns)
            different = keep_winners(found.songs)
            if len(different):
                songs.write(piece, different)
                names.write(piece, **names_in_order(different))
            if len(found.quarantine):
                quarantine.write(piece, found.quarantine)
            yield _as_audited(piece, found, different)

    return source.rows.map(write, AUDITED, columns=columns)


def write_tracks(
    ranges: DataFrame,
    pieces: Pieces,
    releases: Releases,
    *,
    first_ids: tuple[str, ...],
    tracks: RowFiles,
    numbered: ArrayFiles,
    rules: ListsConfig,
    barred: Ints,
    with_various: bool,
) -> DataFrame:
    """Write `schemas.TRACKS` of each range, and its songs as `Numbered.songs`; return `messages.WRITTEN_TRACKS`.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    pieces : Pieces
        What `write_audited` has written.
    releases : Releases
        What `write_releases` has written.
    first_ids : tuple of str
        The first id of each range but the first, rising.
    tracks : RowFiles
    numbered : ArrayFiles
    rules : ListsConfig
        Which facts of songs they need.
    barred : int64 array, shape (n,)
        The keys of songs that no list holds, rising.
    with_various : bool
        Whether various artists count as an artist.
    """

    def write(batches: Batches) -> Batches:
        for part in each_number(batches):
            # An id may come several times; the range that it falls into has all of its rows.
            several = _range_of(part, first_ids, (pieces.songs.read(piece) for piece in pieces.numbers))
            rows = as_tracks_table(with_recordings(keep_winners(several), *releases.of_range(part)))
            tracks.write(part, rows, repeated=["artist", "album", "genre"])
            offsets, text = text_arrays(rows["track_id"].combine_chunks())
            facts = facts_of(rows, rules, barred=barred, with_various=with_various)
            keys = numbers(rows["track_key"])
            numbered.write(part, offsets=offsets, text=text, keys=keys, facts=facts)
            n_duplicates, survey = len(several) - len(rows), survey_songs(rows, listed_once=rules.listed_once)
            yield as_row(WRITTEN_TRACKS, piece=part, n_rows=len(rows), n_duplicates=n_duplicates, **survey)

    return ranges.mapInArrow(write, WRITTEN_TRACKS)


def as_tracks(source: Source, rules: Rules) -> DataFrame:
    """Return `schemas.TRACKS`, without writing them: for a catalog that one session looks at."""
    names = source.names

    def keep(batches: Batches) -> Batches:
        for _, table in numbered_pieces(batches):
            yield from keep_winners(rules.audited(table, names).songs).to_batches()

    def settle(batches: Batches) -> Batches:
        held = [batch for batch in batches if batch.num_rows]
        if held:
            yield from keep_winners(pa.Table.from_batches(held)).to_batches()

    def find(batches: Batches) -> Batches:
        held = [batch for batch in batches if batch.num_rows]
        if held:
            songs = as_named(found := pa.Table.from_batches(held).combine_chunks())
            recordings = find_recordings(songs)
            known, works = identify(songs.keys, songs.names), find_works(songs, recordings)
            yield from as_tracks_table(with_recordings(found, known, recordings, works)).to_batches()

    songs = source.rows.map(keep, AUDITED_SONGS, columns=names)
    settled = songs.repartition("track_key").mapInArrow(settle, AUDITED_SONGS)
    return settled.repartition("title_key").mapInArrow(find, TRACKS)


def _range_of(part: int, first_ids: tuple[str, ...], pieces: Iterable[pa.Table]) -> pa.Table:
    found = []
    for table in pieces:
        for which, first, last in cut_by(table["track_id"].chunk(0), first_ids[max(0, part - 1) : part + 1]):
            if which == min(part, 1):
                found.append(table.slice(first, last - first))
    return pa.concat_tables(found)


def gather_drawn(audited: pa.Table) -> tuple[list[str], Ints]:
    """Return ids and keys of a sample of all songs: one of a small piece is as likely as one of a large piece.

    Parameters
    ----------
    audited : pyarrow.Table
        `messages.AUDITED`: of each piece those songs of which the hash is least.
    """
    ids, keys = (audited[name].combine_chunks().flatten() for name in ("drawn_ids", "drawn_keys"))
    shares = as_shares(numbers(keys), seed=0)
    ends = np.cumsum([0, *(len(drawn) for drawn in audited["drawn_keys"].to_pylist())])
    # Up to the least of the greatest shares, all songs of all pieces are there.
    cut_off = [shares[ends[i + 1] - 1] for i, n in enumerate(audited["n_songs"].to_pylist()) if n > MAX_DRAWN]
    kept = np.flatnonzero(shares <= min(cut_off, default=1.0))
    return ids.take(pa.array(kept)).to_pylist(), numbers(keys)[kept]


def _as_audited(piece: int, found: Audited, songs: pa.Table) -> pa.RecordBatch:
    refused = Counter(found.quarantine["reason"].to_pylist())
    keys = numbers(songs["track_key"])
    drawn = np.argsort(as_shares(keys, seed=0), kind="stable")[:MAX_DRAWN]
    common_key, n_of_key = middle(numbers(found.songs["track_key"]))
    values = {
        "piece": piece, "n_rows": len(found.songs) + len(found.quarantine),
        "n_duplicates": len(found.songs) - len(songs), "n_songs": len(songs),
        "reasons": list(refused), "n_refused": list(refused.values()),
        "missing": list(found.missing), "n_missing": list(found.missing.values()),
        "drawn_ids": songs["track_id"].take(pa.array(drawn)).to_pylist(),
        "drawn_keys": keys[drawn].tolist(), "common_key": int(common_key), "n_of_key": n_of_key,
        "n_various": count_various(songs),
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([values], schema=_AUDITED)

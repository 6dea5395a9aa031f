"""Whose playlists or favorites hold which songs, as the user gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from musicrec.catalog import formats
from musicrec.catalog.columns import (
    MALFORMED,
    MAYBE,
    SOURCE_FILE,
    find_columns,
    known_as,
    line_to_add,
    nearest_name,
)
from musicrec.catalog.given_rows import GivenRows
from musicrec.catalog.meanings import find_meaning
from musicrec.catalog.texts import as_texts, coalesced, stripped
from musicrec.catalog.values import is_id, track_ids, whole_ids
from musicrec.config import InputConfig
from musicrec.errors import InputError, shorten
from musicrec.spark import failures
from musicrec.spark.tasks import Batches

# In place of a column: the name of the file, such as a playlist's.
FILE_NAME = "{file}"


@dataclass(frozen=True)
class Relation:
    """Who has which song: playlists or favorites.

    Attributes
    ----------
    rows : GivenRows
        As the source has them.
    columns : list of str
        That are needed.
    relate : callable
        Makes of batches of these the texts `owner, track_id`; rows that lack one of the two are left out.
    said : list of str
        What was understood, a sentence each.
    """

    rows: GivenRows
    columns: list[str]
    relate: Callable[[Batches], Batches]
    said: Sequence[str] = ()

    def map(self, make: Callable[[Batches], Batches], schema: StructType) -> DataFrame:
        """Return what is made of `owner, track_id`, in the very tasks that read them.

        Of maps one after the other, each would have Python workers of its own, which take seconds to start.
        """
        relate = self.relate
        return self.rows.map(lambda batches: make(relate(batches)), schema, columns=self.columns)


@dataclass(frozen=True)
class Relations:
    """What the user gave beside the songs; None is not given."""

    playlists: Relation | None
    favorites: Relation | None


def read_relation(session: SparkSession, uri: str, *, owner: str, settings: InputConfig) -> Relation:
    """Return playlists or favorites.

    Parameters
    ----------
    session : SparkSession
    uri : str
        A file, a directory or a glob.
    owner : str
        "playlist_id" or "user_id".
    settings : InputConfig

    Raises
    ------
    InputError
        The files cannot be read, or one of the two columns is not there.
    """
    key = "playlist_columns" if owner == "playlist_id" else "favorite_columns"
    rows = formats.read_rows(session, uri, settings, are_songs=False)
    names = list(rows.names)
    # input.columns and input.id_from are written for the songs; they count here where this file has such columns.
    settings = settings.model_copy(update={"id_from": makers_of(names, settings, where=uri)})
    own = dict(getattr(settings, key))
    is_file = own.get(owner) == FILE_NAME
    shared = {name: source for name, source in settings.columns.items() if source in names}
    configured = {**shared, **{name: source for name, source in own.items() if source != FILE_NAME}}
    columns = find_columns(names, wanted=("track_id", owner), configured=configured, where=uri)
    if settings.id_from and known_as(columns.get("track_id", ("id",))[0]) == ("track_id", MAYBE):
        # The songs' ids are made: what may be an id of another kind is none of theirs.
        del columns["track_id"]
    said = [*rows.said, *_unread(rows)]
    if owner == "playlist_id" and owner not in columns and len(rows.files) > 1:
        is_file = True
        said.append("each file is a playlist, named by the file")
    if is_file:
        columns[owner] = (FILE_NAME,)
    _check_relation(rows, columns, owner=owner, key=key, settings=settings, uri=uri)
    of_songs = {name: sources for name, sources in columns.items() if name == "track_id"}
    find_meaning(of_songs, rows.sample, settings, where=uri, key=key)
    return as_relation(rows, columns=columns, owner=owner, settings=settings, said=said)


def read_relations(session: SparkSession, settings: InputConfig) -> Relations:
    """Return playlists and favorites, where they are given; looked at before hours of work that need them.

    Raises
    ------
    InputError
        As `read_relation`.
    """

    def read(uri: str, owner: str) -> Relation | None:
        if not uri:
            return None
        with failures.input_errors(uri):
            return read_relation(session, uri, owner=owner, settings=settings)

    return Relations(read(settings.playlists, "playlist_id"), read(settings.favorites, "user_id"))


def as_relation(
    rows: GivenRows,
    *,
    columns: Mapping[str, tuple[str, ...]],
    owner: str,
    settings: InputConfig,
    said: Sequence[str] = (),
) -> Relation:
    """Return playlists or favorites, with the ids of songs as these have them.

    Parameters
    ----------
    rows : GivenRows
    columns : mapping
        Canonical name -> source names; holds `owner`, and `track_id` unless `settings.id_from` makes it.
    owner : str
        "playlist_id" or "user_id".
    settings : InputConfig
    said : sequence of str
        What was understood.
    """
    sources = [source for several in columns.values() for source in several if source != FILE_NAME]
    wanted = [*dict.fromkeys([*sources, *settings.id_from]), MALFORMED, SOURCE_FILE]

    def relate(batches: Batches) -> Batches:
        for batch in batches:
            given = dict(zip(wanted, batch.columns, strict=True))
            if columns[owner] == (FILE_NAME,):
                owners = _file_names(given[SOURCE_FILE])
            else:
                owners = stripped(coalesced([as_texts(given[source]) for source in columns[owner]]))
            several = [as_texts(given[source]) for source in columns.get("track_id", ())]
            ids = track_ids(coalesced(several) if several else None, given, n=batch.num_rows, settings=settings)
            has_both = pc.and_(is_id(owners), pc.is_valid(ids))
            is_whole = pc.and_(has_both, pc.is_null(given[MALFORMED]))
            yield pa.RecordBatch.from_arrays([whole_ids(owners), ids], names=[owner, "track_id"]).filter(is_whole)

    return Relation(rows, wanted, relate, said)


def _file_names(uris: pa.StringArray) -> pa.StringArray:
    """Return the names of files without their directories and endings."""
    told = uris.dictionary_encode()
    names = [formats.file_title(uri) for uri in told.dictionary.to_pylist()]
    return pa.array(names, type=pa.string()).take(told.indices)


def _unread(rows: GivenRows) -> list[str]:
    """Return a sentence of the first rows that could not be read: they are left out."""
    malformed = rows.sample.filter(pc.is_valid(rows.sample[MALFORMED])).slice(0, 1000).to_pylist()
    if not malformed:
        return []
    file, told = malformed[0][SOURCE_FILE].rsplit("/", 1)[-1], shorten(malformed[0][MALFORMED], length=80)
    return [f"{len(malformed)} of the first rows could not be read and are left out, such as {file}, {told}"]


def makers_of(names: Sequence[str], settings: InputConfig, *, where: str) -> tuple[str, ...]:
    """Return the columns that make ids as those of the songs are made; none where some are not there.

    Parameters
    ----------
    names : sequence of str
        Columns of another file.
    settings : InputConfig
    where : str
    """
    if set(settings.id_from) <= set(names):
        return settings.id_from
    ours = [known[0] if (known := known_as(name)) else "" for name in settings.id_from]
    if not all(ours):
        return ()
    found = find_columns(names, wanted=ours, configured={}, where=where)
    return tuple(found[name][0] for name in ours) if len(found) == len(set(ours)) else ()


def _check_relation(
    rows: GivenRows,
    columns: Mapping[str, tuple[str, ...]],
    *,
    owner: str,
    key: str,
    settings: InputConfig,
    uri: str,
) -> None:
    missing = [name for name in (owner, "track_id") if name not in columns]
    if owner not in missing and (not missing or settings.id_from):
        return
    names = list(rows.names)
    used = {source for several in columns.values() for source in several}
    free = [name for name in names if name not in used]
    advice = [line_to_add(f"{key}.{missing[0]}", nearest_name(missing[0], free) or free[0])] if free else []
    if missing == [owner]:
        advice.append(f"{line_to_add(f'{key}.{owner}', FILE_NAME)} where each file is one")
    raise InputError(
        f"no column for {' and '.join(missing)}",
        where=f"{uri}: {', '.join(names)}",
        todo=f"say which it is: {', or '.join(advice)}",
    )

"""The user's files: songs, and whose playlists or favorites hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from musicrec.catalog import formats
from musicrec.catalog.columns import (
    MALFORMED,
    MAYBE,
    SOURCE_FILE,
    YEAR,
    find_columns,
    known_as,
    line_to_add,
    nearest_name,
)
from musicrec.catalog.given_rows import GivenRows
from musicrec.catalog.meanings import Meaning, describe_unused, find_meaning
from musicrec.catalog.texts import as_texts, coalesced, stripped
from musicrec.catalog.values import track_ids
from musicrec.config import InputConfig
from musicrec.errors import ConfigError, InputError
from musicrec.songs import FEATURES, TRACK_COLUMNS
from musicrec.spark import failures
from musicrec.spark.tasks import Batches

# In place of a column: the name of the file, such as a playlist's.
FILE_NAME = "{file}"


@dataclass(frozen=True)
class Source:
    """The songs as they are given.

    Attributes
    ----------
    rows : GivenRows
    meaning : Meaning
        Of their columns.
    """

    rows: GivenRows
    meaning: Meaning

    @cached_property
    def names(self) -> list[str]:
        """The columns that tasks get: those that serve, some more to show a refused row with."""
        sources = [source for several in self.meaning.columns.values() for source in several]
        return self.rows.shown(list(dict.fromkeys([*sources, *self.meaning.settings.id_from])))

    @property
    def said(self) -> list[str]:
        """What was understood, a sentence each."""
        found = [*self.rows.said]
        if self.meaning.said:
            found.append(f"understood: {', '.join(self.meaning.said)}")
        unused = describe_unused(self.rows.names, self.meaning.columns)
        return [*found, unused] if unused else found


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


def read_source(session: SparkSession, settings: InputConfig) -> Source:
    """Return the rows of `input.tracks`, and what their columns mean.

    Raises
    ------
    ConfigError
        There is no `input.tracks`.
    InputError
        The files cannot be read, or the columns that a song needs are not there.
    """
    if not settings.tracks:
        raise ConfigError("input.tracks is not set", todo="set it in [input] or with --set input.tracks=FILE")
    rows = formats.read_rows(session, settings.tracks, settings)
    wanted = (*TRACK_COLUMNS, YEAR)
    columns = find_columns(rows.names, wanted=wanted, configured=settings.columns, where=settings.tracks)
    _check_columns(rows, columns, settings=settings)
    return Source(rows, find_meaning(columns, rows.sample, settings, where=settings.tracks))


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
    # What names or follows from the songs' file says nothing of this one.
    rows = formats.read_rows(session, uri, settings.model_copy(update={"csv_names": ()}))
    names = list(rows.names)
    # input.columns and input.id_from are written for the songs; they count here where this file has such columns.
    settings = settings.model_copy(update={"id_from": _makers(names, settings, where=uri)})
    own = dict(getattr(settings, key))
    is_file = own.get(owner) == FILE_NAME
    shared = {name: source for name, source in settings.columns.items() if source in names}
    configured = {**shared, **{name: source for name, source in own.items() if source != FILE_NAME}}
    columns = find_columns(names, wanted=("track_id", owner), configured=configured, where=uri)
    if settings.id_from and known_as(columns.get("track_id", ("id",))[0]) == ("track_id", MAYBE):
        # The songs' ids are made: what may be an id of another kind is none of theirs.
        del columns["track_id"]
    said = list(rows.said)
    if owner == "playlist_id" and owner not in columns and len(rows.files) > 1:
        is_file = True
        said.append("each file is a playlist, named by the file")
    if is_file:
        columns[owner] = (FILE_NAME,)
    _check_relation(rows, columns, owner=owner, key=key, settings=settings, uri=uri)
    find_meaning({"track_id": columns.get("track_id", ("",))}, rows.sample, settings, where=uri, key=key)
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
            has_both = pc.and_(pc.fill_null(pc.not_equal(owners, ""), False), pc.is_valid(ids))
            is_whole = pc.and_(has_both, pc.is_null(given[MALFORMED]))
            yield pa.RecordBatch.from_arrays([owners, ids], names=[owner, "track_id"]).filter(is_whole)

    return Relation(rows, wanted, relate, said)


def _file_names(uris: pa.StringArray) -> pa.StringArray:
    """Return the names of files without their directories and endings."""
    told = uris.dictionary_encode()
    names = [formats.file_title(uri) for uri in told.dictionary.to_pylist()]
    return pa.array(names, type=pa.string()).take(told.indices)


def _check_columns(rows: GivenRows, columns: Mapping[str, tuple[str, ...]], *, settings: InputConfig) -> None:
    names = list(rows.names)
    where = f"{settings.tracks}: {', '.join(names)}"
    unknown = [name for name in settings.id_from if name not in names]
    if unknown:
        raise InputError(f"input.id_from names columns that are not there: {', '.join(unknown)}", where=where)
    if "track_id" not in columns and not settings.id_from:
        raise InputError("no column for track_id", where=where, todo=_id_advice(names, columns))
    absent = [name for name in FEATURES if name not in columns]
    if len(FEATURES) - len(absent) < settings.min_features:
        raise InputError(
            f"only {len(FEATURES) - len(absent)} of 12 audio features have a column, {settings.min_features} are "
            f"needed; missing: {', '.join(absent)}",
            where=where,
            todo="map them with [input.columns], or lower input.min_features",
        )
    for uri, own in rows.names_by_file.items():
        has_id = set(columns.get("track_id", ())) & set(own) or set(settings.id_from) & set(own)
        if not has_id:
            raise InputError(
                "a file has no column for track_id, though others have one", where=f"{uri}: {', '.join(own)}",
                todo="remove the file, or give a glob that leaves it out",
            )  # fmt: skip


def _id_advice(names: Sequence[str], columns: Mapping[str, tuple[str, ...]]) -> str:
    """Return the line that says where ids come from, ready to copy."""
    advice = list[str]()
    if (meant := nearest_name("track_id", names)) is not None:
        advice.append(f"did you mean the column {meant}? {line_to_add('columns.track_id', meant)}")
    makers = [columns[name][0] for name in ("artist", "title") if name in columns]
    if len(makers) == 2:
        advice.append(f"or make ids of artist and title: {line_to_add('id_from', makers)}")
    return (
        "; ".join(advice) or f"say which one it is: {line_to_add('columns.track_id', names[0] if names else '')}"
    )


def _makers(names: Sequence[str], settings: InputConfig, *, where: str) -> tuple[str, ...]:
    """Return the columns that make ids as those of the songs are made; none where some are not there."""
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
    free = [name for name in names if name not in used] or ["name of the column"]
    advice = line_to_add(f"{key}.{missing[0]}", nearest_name(missing[0], free) or free[0])
    if missing == [owner]:
        advice += f", or {line_to_add(f'{key}.{owner}', FILE_NAME)} where each file is one"
    raise InputError(
        f"no column for {' and '.join(missing)}",
        where=f"{uri}: {', '.join(names)}",
        todo=f"say which it is: {advice}",
    )

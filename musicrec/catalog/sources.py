"""The user's files: songs, and whose playlists or favorites hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from musicrec.catalog import formats
from musicrec.catalog.columns import MALFORMED, resolve_columns
from musicrec.catalog.given_rows import GivenRows
from musicrec.catalog.texts import as_texts, stripped
from musicrec.catalog.values import track_ids
from musicrec.config import InputConfig
from musicrec.errors import ConfigError, InputError
from musicrec.songs import (
    FEATURES,
    TRACK_COLUMNS,
)
from musicrec.spark import failures
from musicrec.spark.tasks import Batches


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
    """

    rows: GivenRows
    columns: list[str]
    relate: Callable[[Batches], Batches]

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


def read_source(session: SparkSession, settings: InputConfig) -> tuple[GivenRows, dict[str, str]]:
    """Return the rows of `input.tracks` and which source column serves which canonical name.

    Raises
    ------
    ConfigError
        There is no `input.tracks`.
    InputError
        The files cannot be read, or the columns that a song needs are not there.
    """
    if not settings.tracks:
        raise ConfigError("input.tracks is not set", todo="set it in [input] or with --set input.tracks=FILE")
    rows = formats.read_rows(
        session, settings.tracks, file_format=settings.format, multiline=settings.csv_multiline
    )
    names = list(rows.names)
    columns = resolve_columns(names, wanted=TRACK_COLUMNS, configured=settings.columns, where=settings.tracks)
    _check_columns(names, columns, settings=settings)
    return rows, columns


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
    rows = formats.read_rows(session, uri, file_format=settings.format, multiline=settings.csv_multiline)
    names = list(rows.names)
    # input.columns and input.id_from are written for the songs; they count here where this file has such columns.
    if not set(settings.id_from) <= set(names):
        settings = settings.model_copy(update={"id_from": ()})
    configured = {name: source for name, source in settings.columns.items() if source in names}
    columns = resolve_columns(names, wanted=("track_id", owner), configured=configured, where=uri)
    missing = [name for name in (owner, "track_id") if name not in columns]
    if owner in missing or (missing and not settings.id_from):
        raise InputError(
            f"no column for {' and '.join(missing)}",
            where=f"{uri}: {', '.join(names)}",
            todo=f'map it with [input.columns], e.g. {missing[0]} = "name of the column"',
        )
    return as_relation(rows, columns=columns, owner=owner, settings=settings)


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


def _check_columns(names: list[str], columns: dict[str, str], *, settings: InputConfig) -> None:
    where = f"{settings.tracks}: {', '.join(names)}"
    unknown = [name for name in settings.id_from if name not in names]
    if unknown:
        raise InputError(f"input.id_from names columns that are not there: {', '.join(unknown)}", where=where)
    if "track_id" not in columns and not settings.id_from:
        raise InputError(
            "no column for track_id",
            where=where,
            todo='map it with [input.columns] track_id = "...", or make ids: input.id_from = ["artist", "title"]',
        )
    absent = [name for name in FEATURES if name not in columns]
    if len(FEATURES) - len(absent) < settings.min_features:
        raise InputError(
            f"only {len(FEATURES) - len(absent)} of 12 audio features have a column, {settings.min_features} are "
            f"needed; missing: {', '.join(absent)}",
            where=where,
            todo="map them with [input.columns], or lower input.min_features",
        )


def as_relation(rows: GivenRows, *, columns: Mapping[str, str], owner: str, settings: InputConfig) -> Relation:
    """Return playlists or favorites, with the ids of songs as these have them.

    Parameters
    ----------
    rows : GivenRows
    columns : mapping
        Canonical name -> source name; holds `owner`, and `track_id` unless `settings.id_from` makes it.
    owner : str
        "playlist_id" or "user_id".
    settings : InputConfig
    """
    wanted = [*dict.fromkeys([*columns.values(), *settings.id_from]), MALFORMED]

    def relate(batches: Batches) -> Batches:
        for batch in batches:
            given = dict(zip(wanted, batch.columns, strict=True))
            owners = stripped(as_texts(given[columns[owner]]))
            source = given[columns["track_id"]] if "track_id" in columns else None
            ids = track_ids(source, given, n=batch.num_rows, settings=settings)
            has_both = pc.and_(pc.fill_null(pc.not_equal(owners, ""), False), pc.is_valid(ids))
            is_whole = pc.and_(has_both, pc.is_null(given[MALFORMED]))
            yield pa.RecordBatch.from_arrays([owners, ids], names=[owner, "track_id"]).filter(is_whole)

    return Relation(rows, wanted, relate)

"""The user's songs: their files, and what the columns mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import SparkSession

from musicrec.catalog import formats
from musicrec.catalog.columns import (
    YEAR,
    find_columns,
    line_to_add,
    nearest_name,
)
from musicrec.catalog.file_meanings import find_meaning_of_files
from musicrec.catalog.given_rows import GivenRows
from musicrec.catalog.meanings import Meaning, describe_unused
from musicrec.config import InputConfig
from musicrec.config_lists import NO_RULES, ListsConfig
from musicrec.errors import ConfigError, InputError
from musicrec.songs import FEATURES, TRACK_COLUMNS


@dataclass(frozen=True)
class Source:
    """The songs as they are given.

    Attributes
    ----------
    rows : GivenRows
    meaning : Meaning
        Of their columns.
    same : tuple of str
        Columns in which a list has the value of its song.
    """

    rows: GivenRows
    meaning: Meaning
    same: tuple[str, ...] = ()

    @cached_property
    def names(self) -> list[str]:
        """The columns that tasks get: those that serve, some more to show a refused row with."""
        sources = [source for several in self.meaning.columns.values() for source in several]
        return self.rows.shown(list(dict.fromkeys([*sources, *self.meaning.settings.id_from, *self.same])))

    @property
    def said(self) -> list[str]:
        """What was understood, a sentence each."""
        found = [*self.rows.said]
        if self.meaning.said:
            found.append(f"understood: {', '.join(self.meaning.said)}")
        unused = describe_unused(self.rows.names, self.meaning.columns)
        return [*found, unused] if unused else found


def read_source(session: SparkSession, settings: InputConfig, *, lists: ListsConfig = NO_RULES) -> Source:
    """Return the rows of `input.tracks`, and what their columns mean.

    Parameters
    ----------
    session : SparkSession
    settings : InputConfig
    lists : ListsConfig
        Whose rules have to have the columns that they look at.

    Raises
    ------
    ConfigError
        There is no `input.tracks`, or a column that a rule of `[lists]` looks at is not there.
    InputError
        The files cannot be read, or the columns that a song needs are not there.
    """
    if not settings.tracks:
        raise ConfigError("input.tracks is not set", todo="set it in [input] or with --set input.tracks=FILE")
    rows = formats.read_rows(session, settings.tracks, settings)
    wanted = (*TRACK_COLUMNS, YEAR)
    columns = find_columns(rows.names, wanted=wanted, configured=settings.columns, where=settings.tracks)
    _check_columns(rows, columns, settings=settings)
    meaning = find_meaning_of_files(columns, rows.sample, settings, where=settings.tracks)
    _check_rules(lists, rows.names, columns, where=settings.tracks)
    return Source(rows, meaning, _same_columns(lists.same, rows.names, columns, where=settings.tracks))


def _check_rules(
    lists: ListsConfig, names: Sequence[str], columns: Mapping[str, tuple[str, ...]], *, where: str
) -> None:
    """Refuse rules that look at columns which are not there: they would bar nothing, and nobody would know."""
    absent = [
        f"lists.{key} needs a column {' or '.join(any_of)}"
        for key, any_of in lists.needs.items()
        if not set(any_of) & set(columns)
    ]
    if absent:
        raise ConfigError(
            f"{', '.join(absent)}, which the songs do not have", where=f"{where}: {', '.join(names)}",
            todo="name the column in [input.columns], or leave the rule out",
        )  # fmt: skip


def _same_columns(
    same: Sequence[str], names: Sequence[str], columns: Mapping[str, tuple[str, ...]], *, where: str
) -> tuple[str, ...]:
    """Return the source's columns of `lists.same`."""
    absent = [name for name in same if name not in names and name not in columns]
    if absent:
        raise ConfigError(
            f"lists.same names columns that are not there: {', '.join(absent)}",
            where=f"{where}: {', '.join(names)}", todo="name some of these, or none",
        )  # fmt: skip
    found = [(name,) if name in names else columns[name] for name in same]
    return tuple(dict.fromkeys(source for several in found for source in several))


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
        advice.append(f"make ids of artist and title: {line_to_add('id_from', makers)}")
    if not advice:
        advice.append(f"say which one it is: {line_to_add('columns.track_id', names[0] if names else '')}")
    return "; or ".join(advice)

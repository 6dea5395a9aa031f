"""Which column of an export is which of ours: by the names that tools and tables of songs use."""

from __future__ import annotations

import difflib
import json
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from musicrec.errors import InputError
from musicrec.songs import TRACK_COLUMNS

# Added to each input row: the row's text where it could not be parsed, and its file. No source has them.
MALFORMED, SOURCE_FILE = "⟨malformed⟩", "⟨source file⟩"
# A year says less than a date: it serves where there is none, or where that cannot be read.
YEAR = "release_year"
OWNERS = ("playlist_id", "user_id")

# As `plain_name` has them; what is said of a song, a track or its audio features is left out before.
ALIASES: dict[str, tuple[str, ...]] = {
    "track_id": ("id", "uri", "trackid"),
    "title": ("name", "track", "song"),
    "artist": ("artists", "artist_name", "artist_names", "artists_name", "artists_names"),
    "album": ("album_name", "album_title"),
    "release_date": ("album_release_date", "released", "album_date"),
    YEAR: ("year", "released_year", "album_year"),
    "popularity": ("popularity_score", "pop"),
    "genre": ("genres", "top_genre", "main_genre", "music_genre"),
    "explicit": ("is_explicit", "explicit_lyrics"),
    "danceability": ("danceability_score", "dnce"),
    "energy": ("nrgy",),
    "loudness": ("loudness_db", "db", "loud_db"),
    "speechiness": ("spch",),
    "acousticness": ("acous",),
    "tempo": ("bpm", "tempo_bpm", "beats_per_minute", "beats_per_minute_bpm"),
    "duration_ms": ("duration", "duration_milliseconds", "length_ms"),
    "playlist_id": ("playlist", "pid", "playlist_pid", "playlist_uri", "playlist_url"),
    "user_id": ("user", "listener_id", "listener", "username", "user_name", "userid", "account"),
}
# Serve only where none of those is there: they may mean something else.
FALLBACKS: dict[str, tuple[str, ...]] = {
    "track_id": ("url", "link", "external_url", "external_urls", "mbid", "isrc"),
    "title": ("title_short",),
    "artist": ("album_artist", "album_artists", "album_artist_names"),
    "genre": ("artist_genres", "parent_genres"),
    "danceability": ("dance",),
    "loudness": ("loud",),
    "speechiness": ("speech",),
    "acousticness": ("acoustic",),
    "instrumentalness": ("instrumental",),
    "liveness": ("live",),
    "valence": ("val", "happy", "happiness"),
    "duration_ms": ("length", "dur", "length_duration", "time"),
    "playlist_id": ("playlist_name", "playlist_title", "list_name"),
}
SAID_OF = ("spotify_", "audio_features_", "audio_", "features_", "track_", "song_", "item_")
# What a name says of its unit, at its end.
NAMED_UNITS = {
    "percent": "percent", "percentage": "percent", "pct": "percent", "perc": "percent",
    "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "min": "min", "mins": "min", "minute": "min", "minutes": "min", "ms": "ms",
}  # fmt: skip
TIMES = ("duration", "length", "time", "dur")
# Of a name that is one of `FALLBACKS`, as `known_as` has it.
MAYBE = 2
KNOWN = (*TRACK_COLUMNS, YEAR, *OWNERS)


@cache
def plain_name(name: str) -> str:
    """Return the name of a column as names are compared: "Artist Name(s)" is artist_names."""
    text = unicodedata.normalize("NFKC", name)
    text = (
        re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", text).casefold().replace("(s)", "s").replace("%", " percent ")
    )
    return re.sub(r"[\W_]+", "_", text).strip("_")


@cache
def known_as(name: str) -> tuple[str, int] | None:
    """Return which of ours the column of a file is, and how sure that is: the less the surer. None for another."""
    plain, unit = _without_unit(plain_name(name))
    while True:
        for ours in KNOWN:
            if unit and (unit == "percent") is (ours == "duration_ms"):
                continue
            for place, names in enumerate(((ours,), ALIASES.get(ours, ()), FALLBACKS.get(ours, ()))):
                if plain in names:
                    return ours, place
        prefix = next((prefix for prefix in SAID_OF if plain.startswith(prefix)), None)
        if prefix is None:
            return None
        plain = plain.removeprefix(prefix)


def unit_said(name: str) -> str | None:
    """Return the unit that the name of a column says, None where it says none."""
    return _without_unit(plain_name(name))[1]


def find_columns(
    names: Sequence[str], *, wanted: Sequence[str], configured: Mapping[str, str], where: str
) -> dict[str, tuple[str, ...]]:
    """Return canonical name -> source names for those of `wanted` that the source has, the surest first.

    Parameters
    ----------
    names : sequence of str
        Columns of the source.
    wanted : sequence of str
        Canonical names.
    configured : mapping
        Canonical name -> source name as the user says it; it beats the well-known names.
    where : str
        The source, for the message.

    Raises
    ------
    InputError
        A configured column does not exist.
    """
    _check_configured(configured, where=where)
    claimed = set(configured.values())
    found: dict[str, tuple[str, ...]] = {}
    for ours in wanted:
        if ours in configured:
            found[ours] = (_configured_column(names, ours, configured[ours], where=where),)
            continue
        known = [(place[1], name) for name in names if name not in claimed and (place := known_as(name))
                 and place[0] == ours]  # fmt: skip
        sure = [name for place, name in sorted(known, key=lambda one: one[0]) if place < MAYBE]
        if sure or known:
            found[ours] = tuple(sure or [name for _, name in known[:1]])
    return found


def line_to_add(key: str, value: Any) -> str:
    """Return what has to be added to the command, ready to copy, so that `input.KEY` has a value."""
    return f"--set {shlex.quote(f'input.{key}={json.dumps(value, ensure_ascii=False)}')}"


def nearest_name(ours: str, names: Sequence[str]) -> str | None:
    """Return the column that may be meant by one of ours, None where none looks like it."""
    words = {"track_id": ("ref", "uri", "url", "key", "code", "number", "no", "nr", "hash", "uuid", "identifier")}
    for name in names:
        parts = plain_name(name).split("_")
        if known_as(name) is None and set(parts) & {"track", "song"} and set(parts) & set(words.get(ours, ())):
            return name
    plain = {plain_name(name): name for name in names if known_as(name) is None}
    close = difflib.get_close_matches(ours, plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _without_unit(plain: str) -> tuple[str, str | None]:
    head, _, last = plain.rpartition("_")
    if last in NAMED_UNITS and head:
        is_time = head.endswith(TIMES)
        if NAMED_UNITS[last] == "percent" or is_time:
            return ("duration_ms" if is_time else head), NAMED_UNITS[last]
    return plain, None


def _check_configured(configured: Mapping[str, str], *, where: str) -> None:
    unknown = sorted(set(configured) - set(KNOWN))
    if unknown:
        raise InputError(
            f"input.columns maps unknown canonical names: {', '.join(unknown)}",
            where=where,
            todo=f"known are {', '.join(KNOWN)}",
        )


def _configured_column(names: Sequence[str], name: str, source: str, *, where: str) -> str:
    same = [column for column in names if column == source] or [
        column for column in names if plain_name(column) == plain_name(source)
    ]
    if same:
        return same[0]
    close = difflib.get_close_matches(source, names, n=1, cutoff=0.5)
    raise InputError(
        f"the configuration says {name} = {source!r}, but there is no such column",
        where=f"{where}: {', '.join(names)}",
        todo=f"did you mean {close[0]!r}?" if close else "correct it",
    )

"""Which column of an export is which of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from musicrec.errors import InputError
from musicrec.songs import FEATURES, TRACK_COLUMNS

# Added to each input row: the row's text where it could not be parsed, and the file it stands in.
MALFORMED, SOURCE_FILE = "_malformed", "_source_file"

# Names that exports of Spotify's catalog and their copies use. Compared without case.
ALIASES: dict[str, tuple[str, ...]] = {
    "track_id": ("id", "uri", "track_uri", "song_id", "spotify_id", "spotify_track_uri"),
    "title": ("name", "song_name", "track_name", "track", "song", "song_title", "track_title"),
    "artist": ("artists", "track_artist", "artist_name", "artist_names", "track_artists"),
    "album": ("album_name", "track_album_name"),
    "release_date": ("album_release_date", "track_album_release_date"),
    "popularity": ("track_popularity", "song_popularity"),
    "genre": ("track_genre", "genres"),
    "explicit": ("is_explicit",),
    "duration_ms": ("song_duration_ms", "track_duration_ms"),
    "playlist_id": ("playlist", "pid", "playlist_uri"),
    "user_id": ("user", "listener_id", "listener", "username"),
    **{name: (f"audio_{name}", f"song_{name}", f"track_{name}") for name in FEATURES if name != "duration_ms"},
}
# A year says less than a date, so it serves only where there is no date: many exports hold both.
FALLBACKS = {"release_date": ("year", "release_year")}


def resolve_columns(
    names: Sequence[str], *, wanted: Sequence[str], configured: Mapping[str, str], where: str
) -> dict[str, str]:
    """Return canonical name -> source name for those of `wanted` that the source has.

    Parameters
    ----------
    names : sequence of str
        Columns of the source.
    wanted : sequence of str
        Canonical names.
    configured : mapping
        `input.columns`; it beats the well-known names.
    where : str
        The source, for the message.

    Raises
    ------
    InputError
        Two source columns fit one name, or a configured one does not exist.
    """
    _check_configured(configured, where=where)
    claimed = set(configured.values())
    found: dict[str, str] = {}
    for name in wanted:
        if name in configured:
            found[name] = _configured_column(names, name, configured[name], where=where)
            continue
        free = [column for column in names if column not in claimed]
        candidates = [c for c in free if c.lower() in (name, *ALIASES.get(name, ()))]
        candidates = candidates or [c for c in free if c.lower() in FALLBACKS.get(name, ())]
        if len(candidates) > 1:
            raise InputError(
                f"two source columns for {name}: {', '.join(map(repr, candidates))}",
                where=where,
                todo=f"say which one with [input.columns] {name} = {candidates[0]!r}",
            )
        if candidates:
            found[name] = candidates[0]
    return found


def check_no_repeats(names: Sequence[str], *, where: str) -> None:
    """Raise where the header of a CSV file held one name twice.

    Spark renames such columns to the name with its position appended, so that is what is looked for.

    Raises
    ------
    InputError
        Names the repeated column.
    """
    bases: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        match = re.fullmatch(rf"(.+?){position}", name)
        if match:
            bases.setdefault(match.group(1).lower(), []).append(position + 1)
    known = {*TRACK_COLUMNS, *ALIASES, *(alias for group in ALIASES.values() for alias in group)}
    for base, positions in bases.items():
        if len(positions) > 1 and base in known:
            raise InputError(
                f"two source columns for one name: {base!r} stands at positions "
                f"{' and '.join(map(str, positions))}",
                where=where,
                todo="rename or drop one of them",
            )


def _check_configured(configured: Mapping[str, str], *, where: str) -> None:
    unknown = sorted(set(configured) - {*TRACK_COLUMNS, "playlist_id", "user_id"})
    if unknown:
        raise InputError(
            f"input.columns maps unknown canonical names: {', '.join(unknown)}",
            where=where,
            todo=f"known are {', '.join(TRACK_COLUMNS)}",
        )


def _configured_column(names: Sequence[str], name: str, source: str, *, where: str) -> str:
    if source in names:
        return source
    raise InputError(
        f"input.columns says {name} = {source!r}, but there is no such column",
        where=f"{where}: {', '.join(names)}",
        todo="correct input.columns",
    )

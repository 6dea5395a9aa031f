"""What a song is: its canonical columns, the rules of its 12 audio features, and the names that others use.

The cleaning, the encodings, the evaluation and the generator of catalogs share it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from musicrec.errors import InputError


@dataclass(frozen=True)
class FeatureRule:
    """What a value of an audio feature may be.

    `low` and `high` are inclusive, in the feature's unit. `missing_at` is the value that stands for
    "unknown" in Spotify's exports. `whole` wants an integer.
    """

    name: str
    low: float
    high: float
    missing_at: float | None = None
    whole: bool = False


# Loudness above 0 dB and tempos beyond 240 BPM are real; the bounds only catch what cannot be a song.
FEATURE_RULES = (
    FeatureRule("danceability", 0.0, 1.0),
    FeatureRule("energy", 0.0, 1.0),
    FeatureRule("key", 0.0, 11.0, missing_at=-1.0, whole=True),
    FeatureRule("loudness", -100.0, 20.0),  # dB
    FeatureRule("mode", 0.0, 1.0, whole=True),
    FeatureRule("speechiness", 0.0, 1.0),
    FeatureRule("acousticness", 0.0, 1.0),
    FeatureRule("instrumentalness", 0.0, 1.0),
    FeatureRule("liveness", 0.0, 1.0),
    FeatureRule("valence", 0.0, 1.0),
    FeatureRule("tempo", 1.0, 1000.0, missing_at=0.0),  # BPM
    FeatureRule("duration_ms", 1.0, 86_400_000.0),  # at most a day
)
FEATURES = tuple(rule.name for rule in FEATURE_RULES)

# What else can tell how a song sounds, where the catalog has it: a decimal year, a number of at least 0, and a
# number that stands for a name.
OPTIONAL_INPUTS = ("release_date", "popularity", "genre")
RAW_INPUTS = (*FEATURES, *OPTIONAL_INPUTS)

# All of them 0 at once is how a song looks that was never analyzed.
ANALYZED_FEATURES = ("danceability", "valence", "speechiness", "tempo")

TEXT_COLUMNS = ("title", "artist", "album", "genre")
TRACK_COLUMNS = ("track_id", *TEXT_COLUMNS, "release_date", "popularity", "explicit", *FEATURES)

# What may stand before an id.
ID_PREFIXES = ("spotify:track:", "https://open.spotify.com/track/")

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


def bare_id(text: str) -> str:
    """Return an id as `clean` makes it of one with a prefix."""
    for prefix in ID_PREFIXES:
        text = text.removeprefix(prefix)
    return text


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

"""What a song is: its canonical columns, the rules of its 12 audio features, and the names that others use.

The cleaning, the encodings, the evaluation and the generator of catalogs share it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


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
SHARES = tuple(rule.name for rule in FEATURE_RULES if (rule.low, rule.high, rule.whole) == (0.0, 1.0, False))

# What else can tell how a song sounds, where the catalog has it: a decimal year, a number of at least 0, and a
# number that stands for a name.
OPTIONAL_INPUTS = ("release_date", "popularity", "genre")
RAW_INPUTS = (*FEATURES, *OPTIONAL_INPUTS)

# No catalog of this version is from before; a run for an earlier date reads the same songs.
KNOWN_YEAR = 2026

# All of them 0 at once is how a song looks that was never analyzed.
ANALYZED_FEATURES = ("danceability", "valence", "speechiness", "tempo")

TEXT_COLUMNS = ("title", "artist", "album", "genre")
TRACK_COLUMNS = ("track_id", *TEXT_COLUMNS, "release_date", "popularity", "explicit", *FEATURES)


# Links to a song and URIs of it, as players and services share them.
LINK = re.compile(
    r"(?:spotify:(?://)?(?:user:[^:]+:)?|(?:https?://)?(?:open|play)\.spotify\.com/(?:intl-[\w-]+/)?(?:embed/)?)"
    r"track[:/]([^/?#&\s]+)(?:[/?#&].*)?",
    re.IGNORECASE | re.DOTALL,
)
# A file of a listener's own, which no catalog has.
LOCAL_PREFIX = "spotify:local:"


def newest_year(run_year: int) -> int:
    """Return the last year that a song of a run may be from: what is announced is in catalogs a year ahead."""
    return max(run_year, KNOWN_YEAR) + 1


def bare_id(text: str) -> str:
    """Return an id as `clean` makes it of a link or a URI."""
    found = LINK.fullmatch(text.strip())
    return found.group(1) if found else text

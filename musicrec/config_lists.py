"""The rules of lists: what a list may hold, and what has to be known of songs for that."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from musicrec.config_types import Section, Weight
from musicrec.traits import ALWAYS_BARRED, EXCLUDED, EXPLICIT, FLAGS, OTHER_LENGTH

# A limit of so many is none: no list is longer.
NO_LIMIT = 1000
Limit = Annotated[int, Field(ge=1, le=NO_LIMIT)]


class ListsConfig(Section):
    """What a list may hold."""

    max_per_artist: Limit = 2
    max_own_artist: Annotated[int, Field(ge=0, le=NO_LIMIT)] = 1
    max_per_album: Limit = NO_LIMIT
    one_per_work: bool = True
    one_per_recording: bool = True
    explicit: Literal["any", "clean_for_clean", "none"] = "any"
    explicit_unknown: Literal["clean", "explicit"] = "clean"
    years_apart: Annotated[int, Field(ge=-1, le=1000)] = -1
    min_seconds: Weight = 0.0
    max_seconds: Weight = 0.0
    exclude_flags: tuple[Literal["live", "karaoke", "holiday", "remix"], ...] = ("holiday", "karaoke")
    same: tuple[str, ...] = ()
    exclude: str = ""
    spread: bool = True

    @model_validator(mode="after")
    def _check_lengths(self) -> ListsConfig:
        if self.max_seconds and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds is {self.min_seconds:g}, more than max_seconds, {self.max_seconds:g}")
        return self

    @property
    def listed_once(self) -> str:
        """The column of songs of which a list holds each value once, and not the one of its own song."""
        if self.one_per_work:
            return "work_key"
        return "recording_key" if self.one_per_recording else "track_key"

    @property
    def limits(self) -> dict[str, tuple[int, int]]:
        """How many songs of one group a list may hold, and how many of its own song's, by column, narrowest first.

        Only those that bar anything.
        """
        found = {self.listed_once: (1, 0)}
        if self.max_per_album < NO_LIMIT:
            found["album_key"] = (self.max_per_album, self.max_per_album)
        of_own = min(self.max_per_artist, self.max_own_artist)
        if of_own < NO_LIMIT:
            found["artist_key"] = (self.max_per_artist, of_own)
        return found

    @property
    def bars_by_key(self) -> dict[str, tuple[int, int]]:
        """The traits of songs that no list holds, and that only lists of songs with them hold, by what is set."""
        flags = sum(FLAGS[name] for name in set(self.exclude_flags))
        explicit = {"none": (EXPLICIT, 0), "clean_for_clean": (0, EXPLICIT)}
        found = {
            "explicit": explicit.get(self.explicit, (0, 0)),
            "exclude_flags": (flags & ALWAYS_BARRED, flags & ~ALWAYS_BARRED),
            "exclude": (EXCLUDED * bool(self.exclude), 0),
            "min_seconds, max_seconds": (OTHER_LENGTH * bool(self.min_seconds or self.max_seconds), 0),
        }
        return {name: traits for name, traits in found.items() if any(traits)}

    @property
    def always_barred(self) -> int:
        """The traits of songs that no list holds."""
        return sum(always for always, _ in self.bars_by_key.values())

    @property
    def barred_unless_own(self) -> int:
        """The traits of songs that only lists of songs that have them, too, hold."""
        return sum(unless_own for _, unless_own in self.bars_by_key.values())

    @property
    def bars(self) -> bool:
        """Whether anything but groups is looked at."""
        return bool(self.bars_by_key or self.years_apart >= 0 or self.same)

    @property
    def needs(self) -> dict[str, tuple[str, ...]]:
        """Of which columns of songs a rule needs one, by its key; those of the default rules may be absent."""
        usual, length, artist = ListsConfig(), ("duration_ms",), ("artist",)
        other_flags = set(self.exclude_flags) - set(usual.exclude_flags)
        found = {
            "max_per_artist": artist if self.max_per_artist < usual.max_per_artist else (),
            "max_own_artist": artist if self.max_own_artist < usual.max_own_artist else (),
            "exclude_flags": ("title", "album", "genre") if other_flags else (),
            "max_per_album": ("album",) if self.max_per_album < NO_LIMIT else (),
            "explicit": ("explicit",) if self.explicit != "any" else (),
            "years_apart": ("release_date", "release_year") if self.years_apart >= 0 else (),
            "min_seconds": length if self.min_seconds else (),
            "max_seconds": length if self.max_seconds else (),
        }
        return {key: any_of for key, any_of in found.items() if any_of}

    @property
    def facts(self) -> tuple[str, ...]:
        """What has to be known of songs, a column each: groups, and what bars songs by themselves."""
        bars = ("traits",) if self.bars else ()
        years = ("release_year",) if self.years_apart >= 0 else ()
        return (*self.limits, *bars, *years, *(("same_key",) if self.same else ()))


# For songs of which nothing is known but their keys.
NO_RULES = ListsConfig(
    max_per_artist=NO_LIMIT, max_own_artist=NO_LIMIT, one_per_work=False, one_per_recording=False, exclude_flags=()
)

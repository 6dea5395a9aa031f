"""The rules of lists: what a list may hold, and what has to be known of songs for that."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from musicrec.config_types import Section, Weight
from musicrec.traits import ALWAYS_BARRED, BARRED, EXPLICIT, FLAGS

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
    def always_barred(self) -> int:
        """The traits of songs that no list holds."""
        barred = {"none": EXPLICIT}.get(self.explicit, 0)
        if self.exclude or self.min_seconds or self.max_seconds:
            barred |= BARRED
        return barred | self._flags & ALWAYS_BARRED

    @property
    def barred_unless_own(self) -> int:
        """The traits of songs that only lists of songs that have them, too, hold."""
        return {"clean_for_clean": EXPLICIT}.get(self.explicit, 0) | self._flags & ~ALWAYS_BARRED

    @property
    def bars(self) -> bool:
        """Whether anything but groups is looked at."""
        barred = self.always_barred | self.barred_unless_own
        return bool(barred or self.years_apart >= 0 or self.same)

    @property
    def facts(self) -> tuple[str, ...]:
        """What has to be known of songs, a column each: groups, and what bars songs by themselves."""
        bars = ("traits",) if self.bars else ()
        years = ("release_year",) if self.years_apart >= 0 else ()
        return (*self.limits, *bars, *years, *(("same_key",) if self.same else ()))

    @property
    def _flags(self) -> int:
        return sum(FLAGS[name] for name in set(self.exclude_flags))


# For songs of which nothing is known but their keys.
NO_RULES = ListsConfig(
    max_per_artist=NO_LIMIT, max_own_artist=NO_LIMIT, one_per_work=False, one_per_recording=False, exclude_flags=()
)

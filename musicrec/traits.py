"""What songs are that bars them from lists, a bit each, and how facts say that a thing is not known."""

from __future__ import annotations

LIVE, KARAOKE, HOLIDAY, REMIX = 1, 2, 4, 8
FLAGS = {"live": LIVE, "karaoke": KARAOKE, "holiday": HOLIDAY, "remix": REMIX}
EXPLICIT, EXCLUDED = 16, 32
# Of an item whose songs differ: it is barred from nothing, and each of its songs is looked at by itself.
MIXED = 64
# Shorter or longer than songs of lists are.
OTHER_LENGTH = 128
# Times so much are flags that nothing but the genre tells.
BY_GENRE = 256
# Flags of which lists of songs like them hold none, either. A catalog may be all karaoke, or for the holidays.
ALWAYS_BARRED = LIVE | REMIX
# In a column of groups: of a song that is in none, and is counted with no other.
NO_GROUP = -1
UNKNOWN_YEAR = -1

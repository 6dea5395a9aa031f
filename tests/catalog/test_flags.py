"""What titles, albums and genres say that songs are."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.flags import find_flags, flags_of_text
from musicrec.traits import BY_GENRE, FLAGS

TITLES = {
    "live": [
        "Song (Live)", "Song - Live", "Song [Live at Wembley]", "Song - Live / 1998", "Song - 2009 Live",
        "Song - Ao Vivo", "Song (En Vivo)", "Song (MTV Unplugged)", "Song – Live from Paris", "曲（ライブ）",
        "Song - Recorded Live", "Song (feat. X) [Live Version]", "Song - Dal Vivo", "Song (En directo)",
        "Song: Live", "Song - Acoustic Live",
    ],
    "karaoke": [
        "Song (Karaoke Version)", "Song (In the Style of X) [Karaoke]", "Song - Karaoke",
        "Song (Originally Performed By X)", "Song (Made Famous by X)", "Song (カラオケ)",
        "Song (Backing Track)", "Song (伴奏)", "Song Karaoke Version",
    ],
    "holiday": [
        "Last Christmas", "Merry X-Mas Everybody", "Feliz Navidad", "Navidad", "Noël", "Petit papa Noël",
        "Então é Natal", "Buon Natale", "Weihnachtslied", "Stille Nacht", "Jingle Bell Rock",
        "Santa Claus Is Coming to Town", "Santa Baby", "Here Comes Santa", "Snowman",
        "Let It Snow! Let It Snow!", "O Holy Night", "Kerstmis", "Рождество", "クリスマス", "Sleigh Ride",
        "The Little Drummer Boy", "Rudolph The Red-Nosed Reindeer", "Mistletoe", "Auld Lang Syne",
        "Happy Hanukkah", "Kolędy", "크리스마스", "Holly Jolly", "Jinglebells",
        "It's the Most Wonderful Time of the Year", "Underneath the Tree", "Santa's Coming for Us",
    ],
    "remix": [
        "Song (X Remix)", "Song - Remix", "Song [X Remix Edit]", "Song (RMX)", "Despacito Remix",
        "Song (X Bootleg)", "Song - X Rework", "Song (Remezcla)", "Song (Mash-Up)", "Song - Remixed by X",
    ],
    "": [
        "Alive", "Olive", "Live and Let Die", "Living", "Long Live", "Live Forever", "We Live",
        "(Live and Let Die)", "Santa Fe", "Santa Monica", "Santana", "Holiday", "Karaoke", "Karaoke Queen",
        "The Remix of My Life", "Noelle", "Christine", "Natalie", "Nativity Ave", "Wonderland", "Give",
        "Deliver Me (Oliver)", "Direct", "Holly", "", "Live Your Life (feat. X)", "Where I Live", "Snow",
        "Kerstin", "Kersten Blues", "Natalina", "Yulenka", "Rudolph Valentino", "Jingle Jangle", "Uncle Noel",
        "Sleigh Bells", "Premix", "Yulia", "Concert", "🔥", "What's the Story - Noel Gallagher Interview",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("flag", "title"), [(flag, title) for flag, titles in TITLES.items() for title in titles])
def test_titles_say_what_they_say(flag: str, title: str) -> None:
    found = flags_of_text(title, "title")
    if flag:
        assert found & FLAGS[flag]
    else:
        assert found == 0


@pytest.mark.parametrize(
    ("album", "flag"),
    [("Live at the Apollo", "live"), ("Unplugged in New York", "live"), ("MTV Unplugged", "live"),
     ("Live", "live"), ("Karaoke Hits Vol. 3", "karaoke"), ("A Very X Christmas", "holiday"),
     ("Song (X Remix)", "remix"),
     ("Noel", ""), ("Sleigh Bells", ""),
     ("Live in the Moment", ""), ("Live Forever", ""), ("Song (Remixes)", ""), ("Olive", ""), ("How We Live", "")],
)  # fmt: skip
def test_albums_say_what_they_say(album: str, flag: str) -> None:
    assert flags_of_text(album, "album") == FLAGS.get(flag, 0)


@pytest.mark.parametrize(
    ("genre", "flag"), [("Holiday", "holiday"), ("karaoke", "karaoke"), ("live", "live"), ("pop", "")]
)
def test_genres_say_what_they_say(genre: str, flag: str) -> None:
    assert flags_of_text(genre, "genre") == FLAGS.get(flag, 0)


PARTS = st.sampled_from([part for titles in TITLES.values() for part in titles])
TEXTS = st.one_of(st.none(), PARTS, st.text(max_size=12), st.tuples(PARTS, st.text(max_size=4)).map("".join))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=20), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_is_looked_at_first_loses_nothing(rows: list[tuple[str | None, ...]], upper: bool) -> None:
    """Of a whole column only few texts are looked at: all that say something are among them, in any case."""
    columns = [
        pa.array([t.upper() if t and upper else t for t in c], type=pa.string()) for c in zip(*rows, strict=True)
    ]
    expected = [0] * len(rows)
    for name, column in zip(("title", "album", "genre"), columns, strict=True):
        for i, text in enumerate(column.to_pylist()):
            said = flags_of_text(text, name) if text is not None else 0
            expected[i] |= said | (BY_GENRE * (said & ~expected[i]) if name == "genre" else 0)
    assert find_flags(*columns).tolist() == expected

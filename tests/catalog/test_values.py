"""Values as people and tools write them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.catalog.dates import read_date
from musicrec.catalog.odd_numbers import key_and_mode, read_clock, read_key, read_mode
from musicrec.catalog.texts import unlisted
from musicrec.catalog.values import features_of, release_dates
from musicrec.config import InputConfig
from musicrec.songs import bare_id

DATES = {
    "2010-03-01": "2010-03-01", "2010-03": "2010-03", "2010": "2010", "2010.0": "2010",
    "2010-03-01T10:00:00Z": "2010-03-01", "2010/03/01": "2010-03-01", "2010.03.01": "2010-03-01",
    "20100301": "2010-03-01", "01.03.2010": "2010-03-01", "1.3.2010": "2010-03-01", "25/03/2010": "2010-03-25",
    "03/25/2010": "2010-03-25", "3/3/2010": "2010-03-03", "03/2010": "2010-03", "March 1, 2010": "2010-03-01",
    "1 Mar 2010": "2010-03-01", "1st of": None, "Mar 2010": "2010-03", "Sept. 2010": "2010-09",
    "2010-3-5": "2010-03-05", "25-Mar-10": "2010-03-25", "1-Jan-85": "1985-01-01", "2010-02-30": None,
    "2010-13-45": None, "2010-12-31": "2010-12-31", "2012-02-29": "2012-02-29", "2010-00-00": None,
    # Which is the month nobody knows.
    "03/04/2010": "2010",
    "16-May": None, "31.02.2010": None, "soon": None, "": None, "0000": None, "13/13/2010": None,
}  # fmt: skip


def test_dates_as_they_are_written() -> None:
    assert release_dates(pa.array(list(DATES))).to_pylist() == list(DATES.values())


@given(st.dates())
def test_a_day_is_read_in_each_order_that_is_clear(day) -> None:
    if day.year < 1800 or day.year > 2099:
        return
    for form in ("%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%B %d, %Y", "%d %b %Y"):
        assert read_date(day.strftime(form)) == day.isoformat()
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        assert read_date(day.strftime(form)) in (day.isoformat(), str(day.year))


NOTES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
FLATS = {1: "Db", 3: "Eb", 6: "Gb", 8: "Ab", 10: "B♭"}
# Around the wheel, from 1A and 1B on.
MINORS, MAJORS = [8, 3, 10, 5, 0, 7, 2, 9, 4, 11, 6, 1], [11, 6, 1, 8, 3, 10, 5, 0, 7, 2, 9, 4]


def test_keys_by_their_names() -> None:
    for pitch, note in enumerate(NOTES):
        names = [note, note.lower(), note.replace("#", "♯"), *([FLATS[pitch]] if pitch in FLATS else [])]
        names += [f"{note}/{FLATS[pitch]}"] if pitch in FLATS else []
        for name in names:
            assert key_and_mode(name) == (pitch, None)
            assert key_and_mode(f"{name} major") == key_and_mode(f"{name} Maj") == (pitch, 1.0)
            assert key_and_mode(f"{name}m") == key_and_mode(f"{name} Minor") == (pitch, 0.0)
    for i in range(12):
        assert key_and_mode(f"{i + 1}A") == (MINORS[i], 0.0)
        assert key_and_mode(f"{i + 1}b") == (MAJORS[i], 1.0)
    for none in ("H", "13A", "0B", "A#/C", "Am7", "", "major"):
        assert key_and_mode(none) is None
    assert [read_mode(text) for text in ("Major", "minor", "F#m", "C", "x")] == [1.0, 0.0, 0.0, None, None]
    assert read_key("E♭ minor") == 3.0


def test_times_by_the_clock() -> None:
    times = {"3:00": 180_000, "0:07": 7000, "1:02:03": 3_723_000, "3:05.5": 185_500, "03:05": 185_000,
             "3:61": None, "3": None, "a:b": None, "::": None}  # fmt: skip
    assert {text: read_clock(text) for text in times} == times


def values(name: str, texts: list[str], **settings) -> list[float]:
    found = features_of(name, pa.array(texts), settings=InputConfig(**{"decimal": ".", **settings}))
    assert found.is_number.all()
    return found.values.tolist()


def test_units() -> None:
    assert values("energy", ["85", "7.5"], units={"energy": "percent"}) == pytest.approx([0.85, 0.075])
    assert values("duration_ms", ["180", "3:05"], units={"duration_ms": "s"}) == [180_000, 185_000]
    assert values("duration_ms", ["3,5", "3:05"], units={"duration_ms": "min"}, decimal=",") == [210_000, 185_000]
    assert values("loudness", ["-4,5"], decimal=",") == [-4.5]
    assert values("duration_ms", ["180.000", "1.234.567,5", "7,5"], decimal=",") == [180_000, 1_234_567.5, 7.5]
    assert values("duration_ms", ["180,000", "1,234,567.5"]) == [180_000, 1_234_567.5]
    assert values("key", ["C#", "5", "8B"]) == [1, 5, 0]
    assert values("energy", ["85%", "7,5 %", "0.5"]) == pytest.approx([0.85, 0.075, 0.5])
    assert values("energy", ["85%", "85"], units={"energy": "percent"}) == pytest.approx([0.85, 0.85])
    assert values("tempo", ["120 BPM", "99.5"]) == [120, 99.5]
    assert values("loudness", ["-4.5 dB", "\u22126", "-7"]) == [-4.5, -6, -7]
    times = ["3m 5s", "PT3M5S", "185 s", "185000 ms", "1h 2m", "4 min"]
    assert values("duration_ms", times) == [185_000] * 4 + [3_720_000, 240_000]
    for name, text in (
        ("energy", "85 bpm"),
        ("tempo", "85 %"),
        ("loudness", "4 s"),
        ("duration_ms", "m"),
        ("key", "5 %"),
    ):
        assert not features_of(name, pa.array([text]), settings=InputConfig(decimal=".")).is_number.any()


LINKS = [
    "spotify:track:abc", "https://open.spotify.com/track/abc", "https://open.spotify.com/track/abc?si=1f",
    "http://open.spotify.com/track/abc/", "https://open.spotify.com/intl-de/track/abc?si=x&utm=y",
    "open.spotify.com/track/abc#0:10", "https://open.spotify.com/embed/track/abc", "spotify://track/abc",
    "https://play.spotify.com/track/abc", "HTTPS://OPEN.SPOTIFY.COM/track/abc", " spotify:track:abc ",
    "spotify:user:me:track:abc",
]  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
def test_links_are_ids(link: str) -> None:
    assert bare_id(link) == "abc"


@pytest.mark.parametrize("text", ["abc", "spotify:local:a:b:c:1", "https://example.com/track/abc", "spotify", ""])
def test_other_text_is_an_id_as_it_is(text: str) -> None:
    assert bare_id(text) == text


def test_printed_lists() -> None:
    texts = {
        "['A']": "A", "['A', 'B']": "A; B", """['A', "B's"]""": "A; B's", '["A","B"]': "A; B", "['A' 'B']": "A; B",
        r"['B\'s']": "B's", "[spunge]": "[spunge]", "['A', B]": "['A', B]", "[]": "[]", "A": "A",
    }  # fmt: skip
    assert unlisted(pa.array(list(texts))).to_pylist() == list(texts.values())

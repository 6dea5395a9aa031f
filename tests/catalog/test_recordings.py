"""Which songs are releases of one recording: by hand, by properties, and against all pairs."""

import re
import unicodedata
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.artists import Parts
from musicrec.catalog.folding import composed, folded
from musicrec.catalog.named import OTHER_NAMES, OTHER_WORKS, TITLE_KEY, Named, as_named, name_columns, pack_sounds
from musicrec.catalog.names import split_artists, split_titles
from musicrec.catalog.recordings import find_recordings
from musicrec.catalog.works import find_works
from musicrec.songs import SHARES

SOUND = (0.8, 0.8, 0.05, 0.1, 0.0, 0.1, 0.7)
OTHER_SOUND = (0.3, 0.2, 0.05, 0.9, 0.1, 0.1, 0.2)
Song = tuple[str, str, float, tuple[float, ...]]


def song(artist: str, title: str, length: float = 180.0, sound: tuple[float, ...] = SOUND) -> Song:
    return artist, title, length, sound


def name(songs: list[Song], keys: list[int] | None = None) -> Named:
    artists, titles, lengths, sounds = zip(*songs, strict=True)
    ids = np.array(keys or range(1, len(songs) + 1), dtype=np.int64)
    columns = name_columns(pa.array(artists), pa.array(titles), ids)
    milliseconds = pa.array([1000.0 * length for length in lengths])
    shares = dict(zip(SHARES, np.array(sounds).T, strict=True))
    return as_named(pa.table({"track_key": ids, **columns, "duration_ms": milliseconds, **shares}))


def find(songs: list[Song], keys: list[int] | None = None) -> list[int]:
    return apart(songs, find_recordings(name(songs, keys)).tolist())


def works(songs: list[Song], keys: list[int] | None = None) -> list[int]:
    named = name(songs, keys)
    return apart(songs, find_works(named, find_recordings(named)).tolist())


def apart(songs: list[Song], groups: list[int]) -> list[int]:
    """Return what songs are of; all of a group would have met by the key of their titles."""
    artists, titles, _, _ = zip(*songs, strict=True)
    keys = name_columns(pa.array(artists), pa.array(titles), np.arange(len(songs)))[TITLE_KEY].to_pylist()
    assert len(set(groups)) == len(set(zip(groups, keys, strict=True)))
    return groups


SAME = [
    (song("A feat. B", "T"), song("A", "T (feat. B)")),
    (song("A, B", "T"), song("B, A", "T")),
    (song("A & B", "T"), song("A; B", "T")),
    (song("A;B", "T [with B]"), song("A x B", "T")),
    (song("A", "T - feat. B"), song("B and A", "T")),
    (song("A ft. B", "T"), song("A featuring B", "T")),
    (song("A", "T (with B) [feat. C]"), song("C, B & A", "T")),
    (song("A", "T"), song("A", "T (feat. B)")),
    (song("Dana Orr", "T"), song("Dana Orr & The Band", "T")),
    (song("Simon & Garfunkel", "T"), song("Simon and Garfunkel", "T (feat. B)")),
    (song("Tyler, The Creator", "T"), song("Tyler, the Creator", "T")),
    (song("A", "T (feat. B) - 2011 Remaster"), song("A, B", "T")),
    (song("Éloïse Brun", "Été"), song("eloise brun", "ETE")),
    (song("A", "Don't"), song("A", "Don’t")),
    (song("A", "Donʼt"), song("A", "Don`t")),
    (song("A", "Don´t"), song("A", "Dont")),
    (song("A", "Rock & Roll"), song("A", "Rock and Roll")),
    (song("A", "Straße"), song("A", "STRASSE")),
    (song("Ａ", "ＡＢＣ １"), song("A", "abc 1")),
    (song("Run–D.M.C.", "T"), song("Run-D.M.C.", "T")),
    (song("A", "KIŞ"), song("A", "kış")),
    (song("A", "co\u00adop \u200bx"), song("A", "coop x")),
    (song("A feat. B & C", "T"), song("A", "T (feat. D, B & C)")),
    (song("A", "T ft B"), song("A, B", "T")),
    (song("A", "T (duet with B)"), song("A/B", "T")),
    (song("A", "T (w/ B)"), song("A,B", "T")),
    *((song("A", "T"), song("A", f"T {more}")) for more in (
        "- Radio Edit", "(Official Video)", "[Lyric Video]", "- Single Version (Explicit)", "- Stereo 2015 Mix",
        "(25th Anniversary Edition)", "- Album Version / Remastered", "- Mono / 2011 Remaster", "(Edited)",
        "- 2011 - Remaster", "- 2011 Mix",
    )),
    (song("A", "(I Can't Get No) Satisfaction"), song("A", "I Can't Get No Satisfaction")),
    (song("A", "Sweet Dreams (Are Made of This)"), song("A", "Sweet Dreams Are Made of This")),
    (song("A", "(Everything I Do) I Do It For You"), song("A", "Everything I Do (I Do It For You)")),
    (song("A", "T - The Ooh Song/B Remix"), song("A", "T (The Ooh Song) - B Remix")),
    (song("A", "The T Live at Wembley"), song("A", "The T - Live at Wembley")),
    (song("The Eagles", "T"), song("Eagles", "T")),
    (song("A × B", "T"), song("B; A", "T")),
    (song("A", "T", 180.0), song("A", "T", 188.0, OTHER_SOUND)),
    (song("A", "T", 180.0), song("A", "T", 260.0)),
    (song("A", "T", 0.0), song("A", "T", 260.0, OTHER_SOUND)),
]  # fmt: skip
APART = [
    (song("A", "T", 180.0), song("A", "T", 241.0, OTHER_SOUND)),
    (song("A", "T"), song("B", "T")),
    (song("A feat. B", "T"), song("A feat. C", "T")),
    (song("Duke Ellington & His Orchestra", "T"), song("Count Basie & His Orchestra", "T")),
    (song("Harry Connick, Jr.", "T"), song("Grover Washington, Jr.", "T")),
    (song("A", "T"), song("A", "T (Live)")),
    (song("A", "T"), song("A", "T - Remix")),
    (song("A", "T"), song("A", "T (Acoustic) [feat. B]")),
    (song("A", "!!!"), song("A", "???")),
    (song("A", "(feat. B)"), song("A", "(feat. C)")),
    (song("A", "कि"), song("A", "की")),
    (song("A", "กา"), song("A", "กี")),
    (song("A", "كَتَبَ"), song("A", "كُتُب")),
    (song("A", "T", 180.0, (float("nan"),) * 7), song("A", "T", 241.0, (float("nan"),) * 7)),
]  # fmt: skip


@pytest.mark.parametrize("pair", SAME, ids=str)
def test_releases_of_one_recording(pair: tuple[Song, Song]) -> None:
    assert len(set(find(list(pair)))) == 1
    assert len(set(find(list(pair)[::-1]))) == 1


@pytest.mark.parametrize("pair", APART, ids=str)
def test_different_recordings(pair: tuple[Song, Song]) -> None:
    assert len(set(find(list(pair)))) == 2


def test_who_shares_a_guest_only_is_apart_but_both_go_with_the_song_without_guests() -> None:
    assert len(set(find([song("A feat. B", "T"), song("A feat. C", "T"), song("A", "T")]))) == 1


def test_an_unknown_length_joins_no_others() -> None:
    found = find([song("A", "T", 0.0), song("A", "T", 180.0), song("A", "T", 241.0, OTHER_SOUND)])
    assert found[0] == found[1] != found[2]


def test_an_id_that_stands_twice_under_one_name_is_one() -> None:
    assert len(set(find([song("A", "T", 180.0), song("A", "T", 241.0, OTHER_SOUND)], keys=[5, 5]))) == 1


OF_ONE_WORK = [
    (song("A", "T", 180.0), song("A", "T", 241.0, OTHER_SOUND)),
    *((song("A", "T"), song("A", f"T {more}", 400.0, OTHER_SOUND)) for more in (
        "(Live)", "- Live at Wembley / 2011", "[Acoustic]", "- B Remix", "(Live (2011))", "(Taylor’s Version)",
        "-Live-", "{Live}", "「Live」", "~ Live ~", "– En Vivo", "(Live) - 2011 Remaster", "- Alan Walker Remix",
        "Live", "Acoustic Version", "- Live - 2011 Remaster", "（Remix）", "- From \"U\"", "(feat. B) - Remix",
    )),
    (song("A", "T (Live)", 200.0), song("A", "T (Acoustic)", 400.0, OTHER_SOUND)),
    (song("A, B", "T - Live", 200.0), song("A", "T", 400.0, OTHER_SOUND)),
    (song("A", "T (with B) [Live]", 200.0), song("B; A", "T", 400.0, OTHER_SOUND)),
    (song("A", "A - T"), song("A", "A - T (Live)", 400.0, OTHER_SOUND)),
    (song("A", "T -"), song("A", "T")),
    (song("A feat. B", "T - Live"), song("A feat. C", "T")),
    (song("A", "T (feat. B)"), song("A", "T (feat. C)", 400.0, OTHER_SOUND)),
]  # fmt: skip
OF_TWO_WORKS = [
    (song("A", "T (Live)"), song("B", "T (Live)")),
    (song("A", "A - T"), song("A", "A - U")),
    (song("Simon & Garfunkel", "Simon & Garfunkel - T"), song("Simon & Garfunkel", "Simon & Garfunkel - U")),
    (song("A", "01 - T"), song("A", "01 - U")),
    (song("A", "[T]"), song("A", "[U]")),
    (song("Various Artists", "Queen - T"), song("Various Artists", "Queen - U")),
    (song("Beatles", "The Beatles - T"), song("Beatles", "The Beatles - U (Live)")),
    *(
        (song("A", one), song("A", other))
        for one, other in (
            ("T (Part 1)", "T (Part 2)"),
            ("T - Pt. 1", "T - Pt. 2"),
            ("Cello Suite - I. Prélude", "Cello Suite - II. Gigue"),
            ("Nocturne (Op. 9 No. 2)", "Nocturne (Op. 27 No. 2) [Live]"),
            ('Main Title (From "Star Wars")', 'Main Title (From "Jaws")'),
            ("Theme (Live)", "Theme (From X)"),
            ("Suite - I. Allegro - Live", "Suite - II. Largo - Live"),
            ("Track 01 - T", "Track 01 - U"),
            ("Kapitel 1 - T", "Kapitel 1 - U"),
            ("Untitled (Red)", "Untitled (Blue)"),
            ("Deliverance", "Deliver"),
        )
    ),
    (song("A", "Alive"), song("A", "A")),
]


@pytest.mark.parametrize("pair", OF_ONE_WORK, ids=str)
def test_versions_of_one_work(pair: tuple[Song, Song]) -> None:
    assert len(set(works(list(pair)))) == 1
    assert len(set(works(list(pair)[::-1]))) == 1


@pytest.mark.parametrize("pair", OF_TWO_WORKS, ids=str)
def test_different_works(pair: tuple[Song, Song]) -> None:
    assert len(set(works(list(pair)))) == 2


def test_only_a_title_of_a_version_takes_names_of_its_own() -> None:
    columns = name_columns(pa.array(["A, B", "A, B"]), pa.array(["T", "T (Live)"]), np.array([1, 2]))
    assert len(columns[OTHER_NAMES][0]) == len(columns[OTHER_NAMES][1]) == len(columns[OTHER_WORKS][1]) == 2
    assert columns[OTHER_WORKS][0].as_py() == []
    assert columns["work_key"][0] == columns["recording_key"][0] == columns["work_key"][1]


def hashes_of(titles: list[str]) -> list[int]:
    return split_titles(pa.array(titles), split_artists(pa.array(["A"] * len(titles)))).recordings.tolist()


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cn", "Co", "Cc", "Zl", "Zp")), min_size=1, max_size=12)


@given(TEXT, st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]), st.booleans())
@settings(max_examples=300, deadline=None)
def test_neither_form_nor_case_changes_a_title(text: str, form: str, upper: bool) -> None:
    changed = unicodedata.normalize(form, text)
    if upper and changed.upper().casefold() == changed.casefold():
        changed = changed.upper()
    one, other = hashes_of([text, changed])
    assert one == other


PLAIN = st.text(
    st.one_of(
        st.characters(min_codepoint=1, max_codepoint=0x6FF, exclude_categories=("Cn",)),
        st.characters(min_codepoint=0x2000, max_codepoint=0x206F, exclude_categories=("Cn",)),
    ),
    max_size=8,
)


def folded_without_table(text: str) -> str:
    """Return a text folded by Unicode's algorithms alone, as `folding.py` says."""
    text = "".join(c for c in text if unicodedata.category(c) != "Cf" and c != "\u034f")
    text = unicodedata.normalize("NFKC", text).replace(" \u0301", "'")
    text = re.sub("['`\u2018\u2019\u02bb\u02bc\u2032]", "", text.casefold().replace("ı", "i"))
    bare = list[str]()
    for letter in unicodedata.normalize("NFD", text):
        of_latin = bool(bare) and unicodedata.category(letter)[0] == "M" and is_latin(bare[-1])
        bare += [] if of_latin else [letter]
    text = unicodedata.normalize("NFC", "".join(bare)).replace("&", " and ")
    return " ".join("".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text).split())


def is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN ") and unicodedata.category(letter)[0] == "L"


@given(PLAIN)
@settings(max_examples=300, deadline=None)
def test_folding_by_the_table_is_that_of_unicode(text: str) -> None:
    expected = folded_without_table(text)
    found = folded(composed(pa.array([text]))).to_pylist()[0]
    # One without letters and digits keeps its signs.
    assert found == expected or not expected


@given(st.permutations(["Abba", "Été Sans", "Jay-Z", "कि"]), st.lists(st.sampled_from([", ", "; ", " & ", " x "])))
@settings(max_examples=60, deadline=None)
def test_the_order_of_artists_changes_nothing(artists: list[str], between: list[str]) -> None:
    text = artists[0]
    for i, artist in enumerate(artists[1:]):
        text += (between[i] if i < len(between) else ", ") + artist
    assert len(set(find([song(text, "T"), song("Abba; Été Sans; Jay-Z; कि", "T")]))) == 1


SONGS = st.tuples(
    st.sampled_from(["A", "B", "A, B", "A feat. C", "A, B, C", "B feat. A"]),
    st.sampled_from(["T", "T (feat. D)", "U"]),
    st.sampled_from([0.0, 100.0, 104.0, 109.0, 120.0, 150.0]), st.sampled_from([SOUND, OTHER_SOUND]),
)  # fmt: skip


def are_releases(one: Song, other: Song) -> bool:
    """Say whether a pair is one recording, by sets; lengths are known."""

    def parts(of: Song) -> tuple[frozenset[str], frozenset[str]]:
        main, *guests = of[0].split(" feat. ")
        mains = frozenset(main.split(", "))
        return mains, mains | frozenset(guests) | ({"D"} if "feat. D" in of[1] else frozenset())

    (main, whole), (other_main, other_whole) = parts(one), parts(other)
    smaller, larger, main_of_larger = sorted(
        [(whole, other_whole, other_main), (other_whole, whole, main)], key=lambda sets: len(sets[0])
    )[0]
    names_fit = smaller in (larger, main_of_larger) or (len(smaller) == 1 and smaller <= larger)
    names_fit |= main == other_main and bool((whole - main) & (other_whole - main))
    is_near = max(one[2], other[2]) <= 1.05 * min(one[2], other[2])
    return one[1][0] == other[1][0] and names_fit and (is_near or one[3] == other[3])


@given(st.lists(SONGS.filter(lambda made: made[2] > 0), min_size=1, max_size=14))
@settings(max_examples=200, deadline=None)
def test_recordings_are_what_pairs_connect(songs: list[Song]) -> None:
    group = list(range(len(songs)))
    for i, j in combinations(range(len(songs)), 2):
        if are_releases(songs[i], songs[j]):
            group = [group[i] if g == group[j] else g for g in group]
    found = find(songs)
    assert [[a == b for b in found] for a in found] == [[a == b for b in group] for a in group]


VERSIONS = st.tuples(SONGS, st.sampled_from(["", " (Live)", " - Remix", " Live"])).map(
    lambda made: (made[0][0], made[0][1] + made[1], *made[0][2:])
)


def are_versions(one: Song, other: Song) -> bool:
    """Say whether a pair is of one work, by sets: whoever the guests are, or because it is one recording."""
    mains = [frozenset(song[0].split(" feat. ")[0].split(", ")) for song in (one, other)]
    smaller, larger = sorted(mains, key=len)
    fit = smaller == larger or (len(smaller) == 1 and smaller <= larger)
    versions = [re.sub(r"\(feat\. d\)|[^a-z]", "", song[1][1:].casefold()) for song in (one, other)]
    return (one[1][0] == other[1][0] and fit) or (versions[0] == versions[1] and are_releases(one, other))


@given(st.lists(VERSIONS.filter(lambda made: made[2] > 0), min_size=1, max_size=14))
@settings(max_examples=200, deadline=None)
def test_works_are_what_pairs_connect(songs: list[Song]) -> None:
    group = list(range(len(songs)))
    for i, j in combinations(range(len(songs)), 2):
        if are_versions(songs[i], songs[j]):
            group = [group[i] if g == group[j] else g for g in group]
    found, recordings = works(songs), find(songs)
    assert [[a == b for b in found] for a in found] == [[a == b for b in group] for a in group]
    assert len(set(zip(found, recordings, strict=True))) == len(set(recordings))


@given(st.lists(VERSIONS, min_size=1, max_size=14), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_songs_changes_nothing(songs: list[Song], random) -> None:
    keys = list(range(1, len(songs) + 1))
    for method in (find, works):
        of_key = dict(zip(keys, method(songs, keys), strict=True))
        shuffled = random.sample(keys, len(keys))
        assert method([songs[key - 1] for key in shuffled], shuffled) == [of_key[key] for key in shuffled]


def test_many_songs_of_one_recording_take_no_square() -> None:
    n = 200_000
    names, none = np.zeros(n, dtype=np.int64), Parts(np.zeros(n + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    sounds = pack_sounds(np.tile(np.array(SOUND), (n, 1)))
    lengths = np.full(n, 200_000, dtype=np.int32)
    songs = Named(np.arange(n), names, names, none, none, lengths, sounds)
    recordings = find_recordings(songs)
    assert len(set(recordings.tolist())) == 1
    assert len(set(find_works(songs, recordings).tolist())) == 1

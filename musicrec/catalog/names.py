"""Titles and artists as exports write them → names that the releases of a recording, and those of a work, share.

Text is folded (`folding.py`), and what a title says of a release is left out; of a work's title, what it says in
brackets, after a dash, and of a version. An artist's text is cut into parts
wherever "&", ",", "and" or "feat." may stand between two: "Earth, Wind & Fire" is cut, too, but always into the
same parts. Guests that a title names belong to the artists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Ints
from musicrec.catalog.artists import Artists, Parts
from musicrec.catalog.first_words import first_words
from musicrec.catalog.folding import composed, folded
from musicrec.catalog.hashes import hash_texts
from musicrec.catalog.marks import GUESTS_MARK, RELEASE_MARK, find_marks, has_mark
from musicrec.compiled import compiled
from musicrec.spark.arrow import bools, numbers

# What a title says about a release but not about the recording. "Remix", "Live" and "Acoustic" are other
# recordings and stay.
RELEASE_WORDS = (
    r"(?:\d{4}\s+(?:[-–—]\s+)?)?(?:digital(?:ly)?\s+)?re-?master(?:ed)?(?:\s+version)?(?:\s+\d{4})?|\d{4}\s+mix"
    r"|(?:single|album|original|mono|stereo|lp|explicit|clean)(?:(?:\s+\d{4})?\s+(?:version|mix))?"
    r"|official\s+(?:music\s+)?(?:video|audio)|(?:official\s+)?lyrics?(?:\s+video)?"
    r"|(?:(?:radio|single)\s+)?edit(?:ed)?|bonus\s+track|(?:deluxe|expanded|special|(?:\d+\w*\s+)?anniversary)(?:\s+(?:edition|version))?"
)
RELEASE_SUFFIX = (
    rf"(?i)\s*(?:[(\[](?:{RELEASE_WORDS})[)\]]|[-–—;,/]\s+(?:{RELEASE_WORDS})\s*$)|[\s;,]+radio\s+edit\s*$"
)

# What stands beside a work's title: the last brackets, or what is behind the last dash.
OPENING, CLOSING = r"(\[{<«〈《「『〔【", r")\]}>»〉》」』〕】"
LAST_PART = (
    rf"(?s)^(?P<before>.*\S)(?:\s*[{OPENING}](?P<inner>[^{OPENING}{CLOSING}]*)[{CLOSING}]+\W*"
    rf"|\s+[-–—~〜]+\s*(?P<after>[^\s\-–—~〜{CLOSING}][^{CLOSING}]*))$"
)
# Parts of works are works: "(Part 2)", "- II. Allemande", "(Op. 27 No. 2)", "- 3"; but for what tells a version.
WORK_PARTS = (
    r"(?i)\b(?:pt|parts?|teil|folge|kapitel|chapter|vol|volume|no|nr|op|opus|act|scene|mov|movement|book|episode|ep"
    r"|bwv|rv|hob|kv?)\.?\s*(?:\d|[ivxlc]+\b)|^\W*[ivxlc]+[.:]|^\W*(?:\d{1,3}|[ivx]+|[a-g])\W*$|\b(?:major|minor)\b"
)
TELLS_VERSION = (
    r"(?i)\b(?:live|remix(?:ed)?|mix|version|edit|re-?master(?:ed)?|acoustic|unplugged|instrumental|demo|karaoke|cover"
    r"|session|sped up|slowed|extended|radio|club|take|alternate)\b"
)
VERSION = r"(?i)(\S)\s+[(\[]?(?:live|acoustic|remix|instrumental|demo|unplugged)(?:\s+version)?\s*$"
# Titles of many works: "Theme (From X)", "Track 01 - X".
GENERIC = (
    r"(?i)^\W*(?:(?:(?:main|opening|end|love)\s+)?"
    r"(?:theme|titles?|credits|intro|outro|interlude|skit|untitled|prelude|overture|medley|suite)"
    r"|(?:track|kapitel|chapter|teil|folge|episode|act|cd|disc|side|vol\.?)\s*\w{1,3}|[a-d]?\d{1,2})\W*$"
)

# Parts of a title that are left out one after the other.
MAX_PARTS = 3
# The first of artists that a semicolon parts.
LEADING = r"(?s)^[\s;]*([^;]*).*$"
VARIOUS = ("various artists", "various", "unknown artist", "unknown", "soundtrack", "va")

# Before guests. "With" is a word of many titles: it counts in brackets, after a dash and between artists.
FEATURING = r"(?:(?:feat|ft)\.\s*|(?:feat|ft|featuring|(?:duet\s+)?with|w/)\s+)"
MAY_FEATURE = r"(?i)(?:(?:feat|ft|with)[\s.u]|w/)"
BRACKETED = rf"(?is)^(?P<before>.*?)\s*[(\[]\s*{FEATURING}(?P<guests>[^)\]]*)[)\]](?P<after>.*)$"
UNBRACKETED = (
    rf"(?is)^(?P<before>.*?)\s+(?:[-–—]\s+{FEATURING}|(?:feat|ft)(?:\.\s*|\s+)|featuring\s+)"
    r"(?P<guests>.*?)(?P<after>(?:\s+[-–—(\[].*)?)$"
)
OF_ARTIST = rf"(?is)^(?P<before>.*?)[\s,(\[]+{FEATURING}(?P<guests>.*)(?P<after>)$"
# Brackets first, and twice: "(with A) (feat. B)".
IN_TITLES, IN_ARTISTS = (BRACKETED, BRACKETED, UNBRACKETED), (OF_ARTIST,)

MAY_BE_SEVERAL = r"(?i)[;,&+/、|]|\s(?:x|×|and|vs\.?|feat\.?|ft\.?|featuring|with)\s"
BETWEEN = (
    r"(?i)(?:\s*[;,、|/]\s*|\s+(?:&|\+|/|x|×|and|vs\.?|feat\.?|ft\.?|featuring|with)\s+)"
    r"(?:(?:&|and|feat\.?|ft\.?|featuring|with)\s+)*"
)


@dataclass(frozen=True)
class Titles:
    """Hashes of titles (n,) as those of recordings and of works, and the guests that they name.

    Where both are equal, the title is that of its work. `keys` are equal for all titles of one work, and of some
    others: all that may belong together meets by them.
    """

    recordings: Ints
    works: Ints
    keys: Ints
    guests: Parts


def split_titles(titles: pa.StringArray, artists: Artists) -> Titles:
    """Return what titles (n,), none of them NULL, say, given their artists (n,)."""
    bare, without, several, rows, guests = _bare(composed(titles))
    told = folded(bare)
    recordings = hash_texts(told)
    works = recordings.copy()
    if len(several):
        works[several] = hash_texts(folded(_of_works(without.take(pa.array(several)), artists.take(several))))
    guests_of = _parts(guests, rows, n=len(titles))
    return Titles(recordings, works, hash_texts(first_words(told)), guests_of)


def split_artists(artists: pa.StringArray) -> Artists:
    """Return the artists that texts (n,), none of them NULL, name."""
    # An artist has many songs: each different text is looked at once.
    encoded = artists.dictionary_encode()
    texts = composed(encoded.dictionary)
    main, rows, guests = split_guests(texts, has_mark(find_marks(texts), GUESTS_MARK), IN_ARTISTS)
    n = len(main)
    leading = _hashed(pc.replace_substring_regex(main, LEADING, r"\1"))
    return Artists(numbers(encoded.indices), _parts(main, np.arange(n), n=n), _parts(guests, rows, n=n), leading)


def leading_artists(artists: Artists) -> pa.Int64Array:
    """Return the key of the first artist of each row, NULL where there is none; various ones have one, too."""
    keys = artists.leading[artists.row]
    return pa.array(keys, mask=keys == NO_TEXT)


def are_various(artists: Ints) -> Bools:
    """Return which keys of first artists (n,) are of various or unknown ones."""
    return np.isin(artists, _hashed(pa.array(VARIOUS)))


def split_guests(
    texts: pa.StringArray, some: Bools, patterns: tuple[str, ...]
) -> tuple[pa.StringArray, Ints, pa.StringArray]:
    """Return texts without the guests that they name, the rows that may name some, and their guests there.

    Parameters
    ----------
    texts : pyarrow.StringArray
    some : bool array, shape (n,)
        Which texts may name guests.
    patterns : tuple of str
        Each finds guests between what stands before and after; they are tried one after the other.
    """
    if not some.any():
        return texts, np.empty(0, dtype=np.int64), pa.array([], pa.string())
    bare = texts.filter(pa.array(some))
    guests = pa.array([""]).take(pa.array(np.zeros(len(bare), dtype=np.int64)))
    for pattern in patterns:
        left = pc.match_substring_regex(bare, MAY_FEATURE)
        found = pc.extract_regex(bare.filter(left), pattern)
        before, guest, after = (pc.struct_field(found, name) for name in ("before", "guests", "after"))
        # A text that is all guests is a name.
        has = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(before), ""), False)
        rest = pc.if_else(has, pc.binary_join_element_wise(before, after, ""), bare.filter(left))
        named = pc.if_else(has, pc.binary_join_element_wise(guests.filter(left), guest, ";"), guests.filter(left))
        bare, guests = (pc.replace_with_mask(c, left, new) for c, new in ((bare, rest), (guests, named)))
    return pc.replace_with_mask(texts, pa.array(some), bare), np.flatnonzero(some), guests


def _bare(titles: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray, Ints, Ints, pa.StringArray]:
    """Return titles without guests and releases, without guests, rows that may tell a version, `split_guests`."""
    marks = find_marks(titles)
    without, rows, guests = split_guests(titles, has_mark(marks, GUESTS_MARK), IN_TITLES)
    # What stood before guests, or what tells a release, may end in something, too.
    bare = _without_release(without, has_mark(marks, GUESTS_MARK | RELEASE_MARK))
    return bare, without, np.flatnonzero(marks), rows, guests


def _without_release(titles: pa.StringArray, some: Bools) -> pa.StringArray:
    """Return titles without what some of them say of a release."""
    if not some.any():
        return titles
    marked = pa.array(some)
    whole = without = titles.filter(marked)
    # One may stand behind another: "Single Version (Explicit)".
    for _ in range(2):
        without = pc.replace_substring_regex(without, RELEASE_SUFFIX, "")
    return pc.replace_with_mask(titles, marked, _unless_empty(without, whole))


def _of_works(titles: pa.StringArray, artists: Artists) -> pa.StringArray:
    """Return the titles of works: without what stands in brackets, behind a dash, or for a version at the end."""
    texts, rows = titles, np.arange(len(titles))
    for _ in range(MAX_PARTS):
        if not len(rows):
            break
        found = pc.extract_regex(texts.take(pa.array(rows)), LAST_PART)
        before, inner, after = (
            pc.fill_null(pc.struct_field(found, name), "") for name in ("before", "inner", "after")
        )
        part = pc.binary_join_element_wise(inner, after, "")
        tells = pc.match_substring_regex(part, TELLS_VERSION)
        is_title = pc.and_not(
            pc.match_substring_regex(before, r"\p{L}"), pc.match_substring_regex(part, WORK_PARTS)
        )
        # "Artist - Title" and "01 - Title" are no works with a version.
        of_artist = _name_artists(before, artists.take(rows)) & bools(pc.not_equal(after, ""))
        stripped = bools(pc.and_(pc.or_(is_title, tells), pc.not_equal(before, ""))) & ~of_artist
        rows = rows[stripped]
        mask = np.zeros(len(titles), dtype=np.bool_)
        mask[rows] = True
        texts = pc.replace_with_mask(texts, pa.array(mask), before.filter(pa.array(stripped)))
    without = pc.replace_substring_regex(texts, VERSION, r"\1")
    return pc.if_else(pc.match_substring_regex(without, GENERIC), titles, without)


def _unless_empty(texts: pa.StringArray, others: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), others, texts)


def _name_artists(texts: pa.StringArray, artists: Artists) -> Bools:
    """Return which texts (n,) name artists of their rows (n,), or stand in rows of various ones."""
    named, found = _parts(texts, np.arange(len(texts)), n=len(texts)), np.zeros(len(texts), dtype=np.bool_)
    _find_among(
        (named.starts, named.hashes), artists.row.astype(np.int64),
        (artists.main.starts, artists.main.hashes), (artists.guests.starts, artists.guests.hashes),
        _hashed(pa.array(VARIOUS)), found,
    )  # fmt: skip
    return found


@compiled
def _find_among(
    named: tuple[Ints, Ints],
    rows: Ints,
    main: tuple[Ints, Ints],
    guests: tuple[Ints, Ints],
    various: Ints,
    found: Bools,
) -> None:
    for i in range(len(found)):
        at = rows[i]
        for artist in main[1][main[0][at] : main[0][at + 1]]:
            found[i] |= (various == artist).any()
        for name in named[1][named[0][i] : named[0][i + 1]]:
            found[i] |= (main[1][main[0][at] : main[0][at + 1]] == name).any()
            found[i] |= (guests[1][guests[0][at] : guests[0][at + 1]] == name).any()


def _parts(texts: pa.StringArray, rows: Ints, *, n: int) -> Parts:
    """Return the hashes of the artists that the texts of some rows of n name."""
    several = bools(pc.match_substring_regex(texts, MAY_BE_SEVERAL))
    cut = pc.split_pattern_regex(texts.filter(pa.array(several)), BETWEEN)
    n_parts = np.ones(len(texts), dtype=np.int64)
    n_parts[several] = numbers(pc.list_value_length(cut))
    row, of_several = np.repeat(rows, n_parts), np.repeat(several, n_parts)
    hashes = np.empty(len(row), dtype=np.int64)
    hashes[of_several] = _hashed(pc.list_flatten(cut))
    hashes[~of_several] = _hashed(texts.filter(pa.array(~several)))
    kept = hashes != NO_TEXT
    return Parts(np.concatenate([[0], np.cumsum(np.bincount(row[kept], minlength=n))]), hashes[kept])


def _hashed(texts: pa.StringArray) -> Ints:
    """Return hashes of the names of artists, with or without "The"."""
    return hash_texts(pc.replace_substring_regex(folded(texts), r"^the (.)", r"\1"))


# Between two separators.
NO_TEXT = int(hash_texts(pa.array([""]))[0])

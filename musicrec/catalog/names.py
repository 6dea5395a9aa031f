"""Titles and artists as exports write them → names that the releases of a recording, and those of a work, share.

Text is folded (`folding.py`), and what a title says of a release is left out; of a work's title, what it says in
brackets, after a dash, and of a version. An artist's text is cut into parts
wherever "&", ",", "and" or "feat." may stand between two: "Earth, Wind & Fire" is cut, too, but always into the
same parts. Guests that a title names belong to the artists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Bools, Ints, concatenate_ranges
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

# What tells versions of a work: words in brackets or after the last dash, and the last word of "Song Live". Other
# brackets and dashes are of titles: "(Part 2)", "(Are Made of This)", "- II. Allemande", "Artist - Title".
VERSION_WORDS = (
    r"(?:live|(?:re|megare)?mix(?:ed)?|rmx|version|versión|versão|ver|edit(?:ed|ion)?|re-?master(?:ed)?|re-?work(?:ed)?"
    r"|acoustic|unplugged|instrumental|inst|orchestral|stripped|demo|(?:out)?take|rehearsal|alternat(?:e|ive)|original"
    r"|karaoke|cover|sessions?|sped\s+up|slowed|nightcore|extended|radio|club|dub|bootleg|mash-?up|vip|relift|refix"
    r"|flip|redux|reimagined|revisited|re-?record(?:ed|ing)|a\s?cappella|acapella|en\s+(?:vivo|directo)|ao\s+vivo"
    r"|single|album|mono|stereo|explicit|clean|video|audio|lyrics?|bonus|deluxe|anniversary|from|feat|ft|featuring|with)"
)
OPENING, CLOSING = r"(\[{<«〈《「『〔【", r")\]}>»〉》」』〕】"
BRACKETS = rf"(?i)\s*[{OPENING}](?:[^{CLOSING}]*[^\w{CLOSING}])?{VERSION_WORDS}(?:\W[^{CLOSING}]*)?[{CLOSING}]"
LAST_DASH = r"(?s)^(?P<before>.*\S)\s+[-–—~〜]+\s*(?P<after>[^\s\-–—~〜].*)$"
TELLS_VERSION = rf"(?i)\b{VERSION_WORDS}\b"
VERSION = r"(?i)(\S)\s+(?:live|acoustic|remix|instrumental|demo|unplugged)(?:\s+version)?\s*$"
# Titles of many works: "Theme (From X)".
GENERIC = (
    r"(?i)^\W*(?:(?:main|opening|end|love)\s+)?"
    r"(?:theme|titles?|credits|intro|outro|interlude|skit|untitled|prelude|overture|medley|suite)\W*$"
)

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
class Parts:
    """Hashes of texts: those of row i are `hashes[starts[i] : starts[i + 1]]`."""

    starts: Ints
    hashes: Ints

    @property
    def are_there(self) -> Bools:
        """Which rows have any."""
        found: Bools = np.diff(self.starts) > 0
        return found

    @staticmethod
    def none(n: int) -> Parts:
        """Return those of n rows that have none."""
        return Parts(np.zeros(n + 1, dtype=np.int64), np.empty(0, dtype=np.int64))

    def take(self, rows: Ints) -> Parts:
        """Return those of some rows (m,)."""
        starts, lengths = self.starts[rows], np.diff(self.starts)[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        return Parts(ends, self.hashes[concatenate_ranges(starts, lengths)])

    def slice(self, first: int, last: int) -> Parts:
        """Return those of the rows from one to before another."""
        starts = self.starts[first : last + 1]
        return Parts(starts - starts[0], self.hashes[starts[0] : starts[-1]])

    @staticmethod
    def joined(several: Sequence[Parts]) -> Parts:
        """Return those of all rows, one after the other."""
        lengths = np.concatenate([np.diff(part.starts) for part in several])
        return Parts(np.concatenate([[0], np.cumsum(lengths)]), np.concatenate([part.hashes for part in several]))


@dataclass(frozen=True)
class Artists:
    """Artists of rows: `row` (n,) of what is said of each different text, `main` and `guests`."""

    row: Ints
    main: Parts
    guests: Parts

    @property
    def have_guests(self) -> Bools:
        """Which rows name guests."""
        return self.guests.are_there[self.row]

    def without_guests(self) -> Artists:
        """Return main artists alone."""
        return Artists(self.row, self.main, Parts.none(len(self.main.starts) - 1))

    def take(self, rows: Ints) -> Artists:
        """Return those of some rows (m,)."""
        return Artists(self.row[rows], self.main, self.guests)


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


def normalized_titles(titles: pa.StringArray) -> pa.StringArray:
    """Return titles without what tells releases of one recording apart.

    Folded, without "(2011 Remaster)", "- Single Version" and the like, and without guests. A title that would
    become empty stays as it is.
    """
    return folded(_bare(composed(titles))[0])


def split_titles(titles: pa.StringArray, artists: Artists) -> Titles:
    """Return what titles (n,), none of them NULL, say, given their artists (n,)."""
    bare, several, rows, guests = _bare(composed(titles))
    told = folded(bare)
    recordings = hash_texts(told)
    works = recordings.copy()
    if len(several):
        works[several] = hash_texts(folded(_of_works(bare.take(pa.array(several)), artists.take(several))))
    guests_of = _parts(guests, rows, n=len(titles))
    return Titles(recordings, works, hash_texts(first_words(told)), guests_of)


def split_artists(artists: pa.StringArray) -> Artists:
    """Return the artists that texts (n,), none of them NULL, name."""
    # An artist has many songs: each different text is looked at once.
    encoded = artists.dictionary_encode()
    texts = composed(encoded.dictionary)
    main, rows, guests = split_guests(texts, has_mark(find_marks(texts), GUESTS_MARK), IN_ARTISTS)
    n = len(main)
    return Artists(numbers(encoded.indices), _parts(main, np.arange(n), n=n), _parts(guests, rows, n=n))


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


def _bare(titles: pa.StringArray) -> tuple[pa.StringArray, Ints, Ints, pa.StringArray]:
    """Return titles without guests and releases, rows that may tell a version, and guests as `split_guests`."""
    marks = find_marks(titles)
    bare, rows, guests = split_guests(titles, has_mark(marks, GUESTS_MARK), IN_TITLES)
    # What stood before guests, or what tells a release, may end in something, too.
    bare = _without_release(bare, has_mark(marks, GUESTS_MARK | RELEASE_MARK))
    return bare, np.flatnonzero(marks), rows, guests


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
    """Return the titles of works: without what tells a version in brackets, after a dash, or at the end."""
    bare = _unless_empty(pc.replace_substring_regex(titles, BRACKETS, ""), titles)
    for _ in range(2):
        found = pc.extract_regex(bare, LAST_DASH)
        before = pc.fill_null(pc.struct_field(found, "before"), "")
        tells = pc.match_substring_regex(pc.fill_null(pc.struct_field(found, "after"), ""), TELLS_VERSION)
        # "Artist - Remix" and "01 - Remix" are titles.
        is_title = pc.and_not(pc.match_substring_regex(before, r"\p{L}"), pa.array(_are_artists(before, artists)))
        bare = pc.if_else(pc.and_(tells, is_title), before, bare)
    without = pc.replace_substring_regex(bare, VERSION, r"\1")
    return pc.if_else(pc.match_substring_regex(without, GENERIC), titles, without)


def _unless_empty(texts: pa.StringArray, others: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), others, texts)


def _are_artists(texts: pa.StringArray, artists: Artists) -> Bools:
    """Return which texts (n,) name nobody but artists of their rows (n,)."""
    named, found = _parts(texts, np.arange(len(texts)), n=len(texts)), np.zeros(len(texts), dtype=np.bool_)
    _find_among(
        (named.starts, named.hashes), artists.row.astype(np.int64),
        (artists.main.starts, artists.main.hashes), (artists.guests.starts, artists.guests.hashes), found,
    )  # fmt: skip
    return found


@compiled
def _find_among(
    named: tuple[Ints, Ints], rows: Ints, main: tuple[Ints, Ints], guests: tuple[Ints, Ints], found: Bools
) -> None:
    for i in range(len(found)):
        at, n = rows[i], 0
        for name in named[1][named[0][i] : named[0][i + 1]]:
            is_in = (main[1][main[0][at] : main[0][at + 1]] == name).any()
            n += is_in or (guests[1][guests[0][at] : guests[0][at + 1]] == name).any()
        found[i] = n > 0 and n == named[0][i + 1] - named[0][i]


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

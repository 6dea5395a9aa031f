"""Titles and artists as exports write them → names that the releases of one recording share.

Text is folded (`folding.py`), and what a title says of a release is left out. An artist's text is cut into parts
wherever "&", ",", "and" or "feat." may stand between two: "Earth, Wind & Fire" is cut, too, but always into the
same parts. Guests that a title names belong to the artists.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from musicrec.arrays import Ints
from musicrec.catalog.folding import composed, folded
from musicrec.catalog.hashes import hash_texts
from musicrec.spark.arrow import bools, numbers

# What a title says about a release but not about the recording. "Remix", "Live" and "Acoustic" are other
# recordings and stay.
RELEASE_WORDS = (
    r"(?:\d{4}\s+)?(?:digital(?:ly)?\s+)?re-?master(?:ed)?(?:\s+version)?(?:\s+\d{4})?"
    r"|(?:single|album|original|mono|stereo|lp|explicit|clean)(?:(?:\s+\d{4})?\s+(?:version|mix))?"
    r"|official\s+(?:music\s+)?(?:video|audio)|(?:official\s+)?lyrics?(?:\s+video)?"
    r"|(?:(?:radio|single)\s+)?edit(?:ed)?|bonus\s+track|(?:deluxe|expanded|special|(?:\d+\w*\s+)?anniversary)(?:\s+(?:edition|version))?"
)
RELEASE_SUFFIX = (
    rf"(?i)\s*(?:[(\[](?:{RELEASE_WORDS})[)\]]|[-–—;,/]\s+(?:{RELEASE_WORDS})\s*$)|[\s;,]+radio\s+edit\s*$"
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

MAY_BE_SEVERAL = r"(?i)[;,&+/、|]|\s(?:x|and|vs\.?|feat\.?|ft\.?|featuring|with)\s"
BETWEEN = (
    r"(?i)(?:\s*[;,、|/]\s*|\s+(?:&|\+|/|x|and|vs\.?|feat\.?|ft\.?|featuring|with)\s+)"
    r"(?:(?:&|and|feat\.?|ft\.?|featuring|with)\s+)*"
)


@dataclass(frozen=True)
class Parts:
    """Hashes of texts: those of row i are `hashes[starts[i] : starts[i + 1]]`."""

    starts: Ints
    hashes: Ints


@dataclass(frozen=True)
class Artists:
    """Artists of rows: `row` (n,) of what is said of each different text, `main` and `guests`."""

    row: Ints
    main: Parts
    guests: Parts


def normalized_titles(titles: pa.StringArray) -> pa.StringArray:
    """Return titles without what tells releases of one recording apart.

    Folded, without "(2011 Remaster)", "- Single Version" and the like, and without guests. A title that would
    become empty stays as it is.
    """
    return _bare(split_guests(composed(titles), IN_TITLES)[0])


def split_titles(titles: pa.StringArray) -> tuple[Ints, Parts]:
    """Return hashes of titles (n,), none of them NULL, as `normalized_titles`, and the guests that they name."""
    bare, rows, guests = split_guests(composed(titles), IN_TITLES)
    return hash_texts(_bare(bare)), _parts(guests, rows, n=len(titles))


def split_artists(artists: pa.StringArray) -> Artists:
    """Return the artists that texts (n,), none of them NULL, name."""
    # An artist has many songs: each different text is looked at once.
    encoded = artists.dictionary_encode()
    main, rows, guests = split_guests(composed(encoded.dictionary), IN_ARTISTS)
    n = len(main)
    return Artists(numbers(encoded.indices), _parts(main, np.arange(n), n=n), _parts(guests, rows, n=n))


def split_guests(texts: pa.StringArray, patterns: tuple[str, ...]) -> tuple[pa.StringArray, Ints, pa.StringArray]:
    """Return texts without the guests that they name, the rows that may name some, and their guests there.

    Parameters
    ----------
    texts : pyarrow.StringArray
    patterns : tuple of str
        Each finds guests between what stands before and after; they are tried one after the other.
    """
    some = pc.match_substring_regex(texts, MAY_FEATURE)
    if not pc.any(some).as_py():
        return texts, np.empty(0, dtype=np.int64), pa.array([], pa.string())
    bare = texts.filter(some)
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
    return pc.replace_with_mask(texts, some, bare), np.flatnonzero(bools(some)), guests


def _bare(titles: pa.StringArray) -> pa.StringArray:
    """Return titles folded, without what they say of a release."""
    # Most titles have neither bracket nor dash; the test for them is cheap, the expression is not.
    marked = pc.match_substring_regex(titles, r"(?i)[(\[]|[-–—;/] |edit\s*$")
    bare = titles
    if pc.any(marked).as_py():
        whole = without = titles.filter(marked)
        # One may stand behind another: "Single Version (Explicit)".
        for _ in range(2):
            without = pc.replace_substring_regex(without, RELEASE_SUFFIX, "")
        without = pc.if_else(pc.equal(pc.utf8_trim_whitespace(without), ""), whole, without)
        bare = pc.replace_with_mask(titles, marked, without)
    return folded(bare)


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
    return hash_texts(folded(texts))


# Between two separators.
NO_TEXT = int(hash_texts(pa.array([""]))[0])

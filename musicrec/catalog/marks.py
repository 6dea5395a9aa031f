"""Texts → what each may say beside its title, by one look at its bytes: of most no expression has to be tried."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.arrays import Bools
from musicrec.catalog.numbered import text_arrays
from musicrec.compiled import compiled

# Bits: a text may name guests; may say something of a release, or of a version.
GUESTS_MARK, RELEASE_MARK, VERSION_MARK = 1, 2, 4
_SPACES = np.isin(np.arange(256), list(b" \t\n\f\r\v"))
_OPENING, _DASH = np.isin(np.arange(256), list(b"([{<~")), ord("-")
# What begins dashes and brackets of print begins other letters, too: the expression tells.
_WIDE = (0xC2, 0xE2, 0xE3)
_BEFORE_RELEASE = np.isin(np.arange(256), list(b"-;,/"))
# Words, after a length each: before guests, and the last of a title.
_GUEST_WORDS = np.frombuffer(b"\x04feat\x02ft\x04with", dtype=np.uint8)
_AFTER_GUESTS = np.isin(np.arange(256), list(b" \t\n\f\r.uU"))
_RELEASE_WORDS = np.frombuffer(b"\x04edit", dtype=np.uint8)
_VERSION_WORDS = np.frombuffer(
    b"\x04live\x08acoustic\x05remix\x0cinstrumental\x04demo\x09unplugged\x07version", dtype=np.uint8
)


def find_marks(texts: pa.StringArray) -> NDArray[np.uint8]:
    """Return the bits of texts (n,), none of them NULL; one that is not set is sure."""
    offsets, text = text_arrays(texts)
    found = np.zeros(len(texts), dtype=np.uint8)
    _find_marks(offsets, text, found)
    return found


def has_mark(marks: NDArray[np.uint8], mark: int) -> Bools:
    """Return which texts (n,) may have a mark."""
    has: Bools = marks & mark > 0
    return has


@compiled
def _find_marks(offsets: NDArray[np.int32], text: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
    for row in range(len(found)):
        first, end, marks = offsets[row], offsets[row + 1], 0
        while end > first and _SPACES[text[end - 1]]:
            end -= 1
        for i in range(first, offsets[row + 1]):
            byte = text[i]
            if _OPENING[byte] or byte in _WIDE:
                marks |= RELEASE_MARK | VERSION_MARK
            elif _BEFORE_RELEASE[byte]:
                if i + 1 >= end or _SPACES[text[i + 1]]:
                    marks |= RELEASE_MARK
                if byte == _DASH and i > first and _SPACES[text[i - 1]]:
                    marks |= VERSION_MARK
                if byte == ord("/") and i > first and text[i - 1] | 32 == ord("w"):
                    marks |= GUESTS_MARK
            elif _AFTER_GUESTS[byte] and _ends_with(text[first:i], _GUEST_WORDS):
                marks |= GUESTS_MARK
        marks |= RELEASE_MARK if _ends_with(text[first:end], _RELEASE_WORDS) else 0
        marks |= VERSION_MARK if _ends_with(text[first:end], _VERSION_WORDS) else 0
        found[row] = marks


@compiled
def _ends_with(text: NDArray[np.uint8], words: NDArray[np.uint8]) -> bool:
    """Return whether a text ends with one of the words, in whatever case."""
    at = 0
    while at < len(words):
        n, is_equal = int(words[at]), True
        if n <= len(text):
            for i in range(n):
                if text[len(text) - n + i] | 32 != words[at + 1 + i]:
                    is_equal = False
                    break
            if is_equal:
                return True
        at += n + 1
    return False

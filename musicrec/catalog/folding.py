"""Text as people compare it: whatever its case, accents, apostrophes, dashes and form in Unicode.

NFKC_Casefold of Unicode (UAX 31), and beyond it: marks of Latin letters are dropped, those of other scripts tell
words apart and stay; "&" is "and"; apostrophes are nothing, and what is neither letter nor digit is a space.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from musicrec.catalog.numbered import text_arrays, texts_of
from musicrec.compiled import compiled

# What NFKC makes of an acute accent that stands for an apostrophe.
ACUTE, APOSTROPHES = " \u0301", "['`\u2018\u2019\u02bb\u02bc\u2032]+"
# Soft hyphens, joiners, marks of direction; selectors of a sign's variant.
UNSEEN = r"[\p{Cf}\x{034F}\x{FE00}-\x{FE0F}]+"
SIGNS = r"[^\x00-\x7F\p{L}\p{N}\p{M}]+"
AMPERSAND, DROPPED_LETTER, SPACE, AND = ord("&"), 0, ord(" "), np.frombuffer(b"and", dtype=np.uint8)
# What becomes of each byte.
LETTERS = np.array(
    [
        i if i >= 128 or i == AMPERSAND or chr(i).isalnum() else DROPPED_LETTER if chr(i) in "'`" else SPACE
        for i in range(256)
    ],
    dtype=np.uint8,
)
LETTERS[ord("A") : ord("Z") + 1] += 32


def composed(texts: pa.StringArray) -> pa.StringArray:
    """Return texts in NFKC, without what no reader sees."""
    other = _is_not_ascii(texts)
    if not pc.any(other).as_py():
        return texts
    some = pc.utf8_normalize(pc.replace_substring_regex(texts.filter(other), UNSEEN, ""), "NFKC")
    return pc.replace_with_mask(texts, other, pc.replace_substring(some, ACUTE, "'"))


def folded(texts: pa.StringArray) -> pa.StringArray:
    """Return composed texts (no NULL) as they compare; one without letters and digits keeps its signs."""
    other, wide = _is_not_ascii(texts), None
    if pc.any(other).as_py():
        wide = _without_marks(texts.filter(other))
        texts = pc.replace_with_mask(texts, other, pc.replace_substring_regex(wide, SIGNS, " "))
    offsets, text = text_arrays(texts)
    starts = np.zeros_like(offsets)
    words = np.empty(len(text) + 4 * int((text == ord("&")).sum()), dtype=np.uint8)
    _fold(offsets, text, starts, words)
    found = texts_of(starts, words[: starts[-1]])
    empty = pc.equal(found, "")
    if pc.any(empty).as_py():
        signs = texts if wide is None else pc.replace_with_mask(texts, other, wide)
        found = pc.if_else(empty, pc.utf8_trim_whitespace(pc.ascii_lower(signs)), found)
    return found


def _is_not_ascii(texts: pa.StringArray) -> pa.BooleanArray:
    return pc.not_equal(pc.binary_length(texts), pc.utf8_length(texts))


def _without_marks(texts: pa.StringArray) -> pa.StringArray:
    """Return texts without case, apostrophes, and marks of Latin letters."""
    # One text for all: Python folds a letter in nanoseconds, and calls a function in a hundred. No text holds NUL.
    whole = "\0".join(texts.to_pylist()).casefold().replace("ı", "i")
    split = pa.array(whole.split("\0"), type=pa.string())
    apart = pc.utf8_normalize(pc.replace_substring_regex(split, APOSTROPHES, ""), "NFD")
    return pc.utf8_normalize(pc.replace_substring_regex(apart, r"(\p{Latin})\p{M}+", r"\1"), "NFC")


@compiled
def _fold(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], starts: NDArray[np.int32], words: NDArray[np.uint8]
) -> None:
    """Write the words of each text; what is not ASCII is a letter."""
    end = 0
    for row in range(len(offsets) - 1):
        first, is_apart = end, False
        for i in range(offsets[row], offsets[row + 1]):
            letter = LETTERS[text[i]]
            if letter == DROPPED_LETTER:
                continue
            if letter == SPACE:
                is_apart = True
                continue
            if is_apart and end > first:
                words[end] = SPACE
                end += 1
            is_apart = False
            if letter != AMPERSAND:
                words[end] = letter
                end += 1
                continue
            if end > first and words[end - 1] != SPACE:
                words[end] = SPACE
                end += 1
            words[end : end + 3] = AND
            end, is_apart = end + 3, True
        starts[row + 1] = end

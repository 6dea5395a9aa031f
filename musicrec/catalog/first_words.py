"""Folded titles → their first words, by which all that may belong together meets.

Whatever a title says of a version stands behind its first word, and titles that are one text when folded have one,
wherever their brackets and dashes were.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.catalog.folding import SPACE
from musicrec.catalog.numbered import text_arrays, texts_of
from musicrec.compiled import compiled

# Many titles begin with one; each after its length.
ARTICLES = np.frombuffer(
    b"\x03the\x01a\x02an\x02la\x02el\x02le\x03les\x03los\x03las\x03die\x03der\x03das\x02un\x03une\x01o",
    dtype=np.uint8,
)


def first_words(texts: pa.StringArray) -> pa.StringArray:
    """Return the first words of folded texts: an article and another, or one."""
    offsets, text = text_arrays(texts)
    starts, words = np.zeros_like(offsets), np.empty(len(text), dtype=np.uint8)
    _copy_first_words(offsets, text, starts, words)
    return texts_of(starts, words[: starts[-1]])


@compiled
def _copy_first_words(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], starts: NDArray[np.int32], words: NDArray[np.uint8]
) -> None:
    end = 0
    for row in range(len(offsets) - 1):
        first, last = offsets[row], offsets[row + 1]
        stop = _word_end(text, first, last)
        if stop < last and _is_word(text[first:stop], ARTICLES):
            stop = _word_end(text, stop + 1, last)
        words[end : end + stop - first] = text[first:stop]
        end += stop - first
        starts[row + 1] = end


@compiled
def _word_end(text: NDArray[np.uint8], first: int, last: int) -> int:
    for i in range(first, last):
        if text[i] == SPACE:
            return i
    return last


@compiled
def _is_word(text: NDArray[np.uint8], words: NDArray[np.uint8]) -> bool:
    """Return whether a text is one of the words, each after its length."""
    at = 0
    while at < len(words):
        n = int(words[at])
        if n == len(text) and (text == words[at + 1 : at + 1 + n]).all():
            return True
        at += n + 1
    return False

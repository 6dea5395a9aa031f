"""64-bit hashes of texts: xxHash (Collet), with the seed and so the values of Spark's `xxhash64`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.arrays import Ints
from musicrec.catalog.numbered import text_arrays
from musicrec.compiled import compiled

SEED = 42
_P1, _P2, _P3 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_P4, _P5 = np.uint64(0x85EBCA77C2B2AE63), np.uint64(0x27D4EB2F165667C5)


def hash_texts(texts: pa.StringArray, *more: pa.StringArray) -> Ints:
    """Return a hash for each row of columns of text (n,), none of it NULL: of one after the other."""
    hashes = np.full(len(texts), SEED, dtype=np.uint64)
    for column in (texts, *more):
        offsets, text = text_arrays(column)
        _hash(offsets, text, hashes)
    return hashes.view(np.int64)


def hash_numbers(numbers: Ints, seed: int) -> Ints:
    """Return a hash for each number (n,) followed by `seed`, 32 bits: Spark's `xxhash64(number, seed)`."""
    hashes = np.empty(len(numbers), dtype=np.uint64)
    _hash_numbers(numbers.view(np.uint64), np.uint64(seed), hashes)
    return hashes.view(np.int64)


@compiled
def _rotated(number: np.uint64, bits: int) -> np.uint64:
    return (number << np.uint64(bits)) | (number >> np.uint64(64 - bits))


@compiled
def _mixed(state: np.uint64, word: np.uint64) -> np.uint64:
    return _rotated(state + word * _P2, 31) * _P1


@compiled
def _word(text: NDArray[np.uint8], at: int, n_bytes: int) -> np.uint64:
    word = np.uint64(0)
    for i in range(n_bytes):
        word |= np.uint64(text[at + i]) << np.uint64(8 * i)
    return word


@compiled
def _finished(state: np.uint64) -> np.uint64:
    state = (state ^ (state >> np.uint64(33))) * _P2
    state = (state ^ (state >> np.uint64(29))) * _P3
    return state ^ (state >> np.uint64(32))


@compiled
def _hash(offsets: NDArray[np.int32], text: NDArray[np.uint8], hashes: NDArray[np.uint64]) -> None:
    """Replace each seed in `hashes` by the hash of the text of its row."""
    for row in range(len(offsets) - 1):
        at, end, seed = offsets[row], offsets[row + 1], hashes[row]
        length = end - at
        if length >= 32:
            a, b, c, d = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
            while at + 32 <= end:
                a, b = _mixed(a, _word(text, at, 8)), _mixed(b, _word(text, at + 8, 8))
                c, d = _mixed(c, _word(text, at + 16, 8)), _mixed(d, _word(text, at + 24, 8))
                at += 32
            state = _rotated(a, 1) + _rotated(b, 7) + _rotated(c, 12) + _rotated(d, 18)
            for part in (a, b, c, d):
                state = (state ^ _mixed(np.uint64(0), part)) * _P1 + _P4
        else:
            state = seed + _P5
        state += np.uint64(length)
        while at + 8 <= end:
            state = _rotated(state ^ _mixed(np.uint64(0), _word(text, at, 8)), 27) * _P1 + _P4
            at += 8
        if at + 4 <= end:
            state = _rotated(state ^ (_word(text, at, 4) * _P1), 23) * _P2 + _P3
            at += 4
        while at < end:
            state = _rotated(state ^ (np.uint64(text[at]) * _P5), 11) * _P1
            at += 1
        hashes[row] = _finished(state)


@compiled
def _hash_numbers(numbers: NDArray[np.uint64], last: np.uint64, hashes: NDArray[np.uint64]) -> None:
    for row in range(len(numbers)):
        state = np.uint64(SEED) + _P5 + np.uint64(8)
        state = _rotated(state ^ _mixed(np.uint64(0), numbers[row]), 27) * _P1 + _P4
        state = _finished(state) + _P5 + np.uint64(4)
        hashes[row] = _finished(_rotated(state ^ (last * _P1), 23) * _P2 + _P3)

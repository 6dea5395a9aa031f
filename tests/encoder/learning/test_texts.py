"""Titles as numbers, against sums by hand, and what they must tell apart."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.folding import folded
from musicrec.catalog.numbered import text_arrays
from musicrec.encoder.learning.texts import TEXT_SIZE, TextEncoding, Texts, encode_texts, fit_texts

WORD = 2**64
SYLLABLES = {
    "one": ["ka", "ro", "mi", "tu", "ne"],
    "two": ["sch", "ein", "ung", "ber", "acht"],
    "greek": ["κα", "λη", "μέ", "ρα", "σου"],
    "kana": ["さ", "くら", "ひと", "つ", "なみ"],
}


def as_texts(values: list[str]) -> Texts:
    return Texts(*text_arrays(folded(pa.array(values, type=pa.string()))))


def titles_of(language: str, *, n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join("".join(rng.choice(SYLLABLES[language], rng.integers(2, 4))) for _ in range(rng.integers(2, 5)))
        for _ in range(n)
    ]


def bucket_by_hand(gram: str, n_buckets: int) -> int:
    state = 1
    for letter in gram:
        state = ((state ^ ord(letter)) * 0x9E3779B97F4A7C15) % WORD
        state ^= state >> 29
    return (state >> 20) % n_buckets


def numbers_by_hand(texts: list[str], encoding: TextEncoding) -> np.ndarray:
    total, square = np.zeros(encoding.table.shape[1]), 0.0
    for text in filter(None, texts):
        padded = f" {text} "
        for first in range(len(padded)):
            for length in (3, 4):
                if first + length <= len(padded):
                    bucket = bucket_by_hand(padded[first : first + length], len(encoding.squares))
                    total += encoding.table[bucket] * encoding.steps
                    square += encoding.squares[bucket] / 256
    return total / np.sqrt(square) if square else total


def random_encoding(n_buckets: int = 97, n_components: int = 5) -> TextEncoding:
    rng = np.random.default_rng(0)
    table = rng.integers(-(2**15), 2**15, (n_buckets, n_components)).astype(np.int16)
    steps = rng.uniform(1, 9, n_components).astype(np.float32) / 2**15
    return TextEncoding(table, steps, rng.integers(256, 9 * 256, n_buckets).astype(np.int32))


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
@settings(deadline=None)
def test_numbers_are_the_sums_of_n_grams(songs: list[tuple[str, str]]) -> None:
    encoding = random_encoding()
    columns = [pa.array(column).cast(pa.string()) for column in zip(*songs, strict=True)] if songs else []
    read = [folded(column) for column in columns]
    found, none = encode_texts([Texts(*text_arrays(column)) for column in read], encoding=encoding)
    for row in range(len(songs)):
        said = [column[row].as_py() for column in read]
        np.testing.assert_allclose(found[row], numbers_by_hand(said, encoding), rtol=1e-4, atol=1e-4)
        assert none[row] == (not any(said))
    # Each by its own texts alone.
    last = [Texts(*text_arrays(column.slice(len(songs) - 1))) for column in read]
    np.testing.assert_array_equal(encode_texts(last, encoding=encoding)[0][0], found[-1])


def test_languages_and_scripts_are_told_apart() -> None:
    names = [name for name in SYLLABLES for _ in range(150)]
    fitted = [title for name in SYLLABLES for title in titles_of(name, n=150, seed=1)]
    asked = [title for name in SYLLABLES for title in titles_of(name, n=150, seed=2)]
    empty = as_texts([""] * len(fitted))
    encoding = fit_texts([as_texts(fitted), empty], n_components=16, seed=5)
    assert encoding is not None
    known, _ = encode_texts([as_texts(fitted), empty], encoding=encoding)
    assert np.sqrt((known**2).mean()) == pytest.approx(TEXT_SIZE, rel=0.05)
    new, _ = encode_texts([as_texts(asked), empty], encoding=encoding)
    cosines = new @ known.T / np.linalg.norm(new, axis=1)[:, None] / np.linalg.norm(known, axis=1)
    nearest = np.array(names)[cosines.argmax(axis=1)]
    assert (nearest == names).mean() > 0.97


def test_an_album_says_what_a_title_says() -> None:
    encoding, empty, said = random_encoding(), as_texts([""]), as_texts(["Navidad"])
    one, other = (encode_texts(columns, encoding=encoding)[0] for columns in ([said, empty], [empty, said]))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("titles", [["Same"] * 500, ["", "a"] * 250, [], ["🎄🎄"] * 300])
def test_where_titles_hardly_differ_nothing_is_learned(titles: list[str]) -> None:
    assert fit_texts([as_texts(titles)], seed=1) is None


def test_the_same_songs_give_the_same_numbers() -> None:
    titles = as_texts([title for name in SYLLABLES for title in titles_of(name, n=60, seed=3)])
    one, other = (fit_texts([titles], n_components=8, seed=4) for _ in range(2))
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.table, other.table)

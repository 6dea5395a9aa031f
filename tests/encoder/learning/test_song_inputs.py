"""What artists' other songs are like, against loops; and inputs with their names, sources and masks."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.encoder.learning.artists import (
    INPUT_STEPS,
    MAX_OF_ARTIST,
    NO_ARTIST,
    ArtistSums,
    other_songs,
    sum_by_artist,
    sum_sums,
    without_many,
)
from musicrec.encoder.learning.inputs import fit_encodings
from musicrec.encoder.learning.song_inputs import (
    RawSongs,
    SongEncodings,
    encode_blocks,
    encode_songs,
    encode_values,
)
from musicrec.encoder.learning.texts import TextEncoding
from musicrec.traits import FLAGS
from tests.encoder.learning.test_inputs import random_songs
from tests.encoder.learning.test_texts import as_texts


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=60), st.integers(1, 4))
@settings(deadline=None)
def test_others_are_the_mean_over_all_but_the_song(artists: list[int], n_pieces: int) -> None:
    keys = np.array(artists)
    inputs = np.random.default_rng(len(artists)).normal(size=(len(keys), 3)).astype(np.float32)
    sums = sum_by_artist(keys, inputs)
    told, none = other_songs(inputs, *sums.of(keys))
    for row, key in enumerate(artists):
        others = [i for i, other in enumerate(artists) if other == key and i != row and key != NO_ARTIST]
        assert none[row] == (not others)
        expected = [*inputs[others].mean(axis=0), np.log1p(len(others))] if others else np.zeros(4)
        np.testing.assert_allclose(told[row], expected, atol=1e-5)
    # Whoever adds up, in whatever order, to the last bit.
    order = np.random.default_rng(n_pieces).permutation(len(keys))
    parts = [sum_by_artist(keys[rows], inputs[rows]) for rows in np.array_split(order, n_pieces)]
    again = sum_sums(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("artists", "counts", "sums"))
    )
    for name in ("artists", "counts", "sums"):
        np.testing.assert_array_equal(getattr(again, name), getattr(sums, name))


def test_an_artist_of_too_many_songs_tells_nothing() -> None:
    keys = np.repeat([1, 2], [MAX_OF_ARTIST, MAX_OF_ARTIST + 1])
    inputs = np.ones((len(keys), 2), dtype=np.float32)
    _, none = other_songs(inputs, *sum_by_artist(keys, inputs).of(keys))
    np.testing.assert_array_equal(none, keys == 2)


def test_sums_of_whoever_tells_something_fit_into_four_bytes() -> None:
    counts = np.array([MAX_OF_ARTIST, MAX_OF_ARTIST, MAX_OF_ARTIST + 1, 10**9])
    largest = np.array([[4.0], [-4.0], [4.0], [4.0]]) * INPUT_STEPS * counts[:, None]
    kept = without_many(ArtistSums(np.arange(4), counts, largest.astype(np.int64)))
    assert kept.dtype == np.int32
    np.testing.assert_array_equal(kept, largest * (counts[:, None] <= MAX_OF_ARTIST))


def make_songs(n: int = 40) -> tuple[RawSongs, SongEncodings]:
    raw = random_songs(n)
    artists = np.arange(n) % 10
    texts = tuple(as_texts([f"{word} {i % 7}" for i in range(n)]) for word in ("title", "album"))
    table = np.random.default_rng(1).integers(-99, 99, (64, 6)).astype(np.int16)
    steps, squares = np.ones(6, dtype=np.float32), np.full(64, 256, dtype=np.int32)
    values = fit_encodings(raw, optional=["popularity"])
    flags = np.arange(n) % 16
    return RawSongs(raw, artists, texts, flags), SongEncodings(values, True, TextEncoding(table, steps, squares))


def test_names_sources_and_masks_fit_the_inputs() -> None:
    songs, encodings = make_songs()
    values = encode_values(songs, encodings=encodings.values)[0]
    inputs = encode_songs(songs, encodings=encodings, artists=sum_by_artist(songs.artists, values))
    layout, names = encodings.layout, encodings.input_names
    assert inputs.shape == (40, len(names)) == (40, len(layout.source))
    assert len(set(names)) == len(names)
    assert layout.n_sources == len(encodings.source_names)
    assert [name for name, mask in zip(names, layout.is_mask, strict=True) if mask] == [
        f"{name}_missing" for name in encodings.source_names
    ]
    np.testing.assert_array_equal(inputs[:, : len(encodings.values.value_names)], values)
    assert np.isfinite(inputs).all()


def test_what_is_hidden_is_as_if_it_were_not_known() -> None:
    songs, encodings = make_songs()
    sums = sum_by_artist(songs.artists, encode_values(songs, encodings=encodings.values)[0])
    whole = encode_songs(songs, encodings=encodings, artists=sums)
    nobody = np.full(40, NO_ARTIST)
    nothing = (as_texts([""] * 40),) * 2
    for name, other in (
        ("artist_context", RawSongs(songs.values, nobody, songs.texts, songs.flags)),
        ("title", RawSongs(songs.values, songs.artists, nothing, songs.flags)),
    ):
        missing = np.zeros((40, encodings.layout.n_sources), dtype=bool)
        missing[:, encodings.source_names.index(name)] = True
        expected = encode_songs(other, encodings=encodings, artists=sums)
        np.testing.assert_array_equal(encodings.layout.hide(whole, missing), expected)


def test_flags_are_inputs_by_their_names() -> None:
    songs, encodings = make_songs()
    inputs = encode_songs(songs, encodings=encodings)
    for name, bit in FLAGS.items():
        column = inputs[:, encodings.input_names.index(f"title_{name}")]
        np.testing.assert_array_equal(column, (songs.flags & bit) > 0)


def test_songs_in_blocks_have_the_same_inputs() -> None:
    songs, encodings = make_songs()
    sums = sum_by_artist(songs.artists, encode_values(songs, encodings=encodings.values)[0])
    whole = encode_songs(songs, encodings=encodings, artists=sums)
    for n_rows in (1, 7, 40, 100):
        blocks = [*encode_blocks(songs, encodings=encodings, artists=sums, n_rows=n_rows)]
        assert [len(block) for block in blocks[:-1]] == [n_rows] * (len(blocks) - 1)
        np.testing.assert_array_equal(np.concatenate(blocks), whole)
    nothing = songs.take(np.empty(0, dtype=np.int64))
    (block,) = encode_blocks(nothing, encodings=encodings, artists=sums, n_rows=7)
    assert block.shape == (0, whole.shape[1])


def test_without_anything_else_inputs_are_values() -> None:
    songs, encodings = make_songs()
    plain = SongEncodings(encodings.values)
    values, masks = encode_values(songs, encodings=encodings.values)
    np.testing.assert_array_equal(encode_songs(songs, encodings=plain), np.concatenate([values, masks], axis=1))

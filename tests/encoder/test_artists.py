"""Sums by artist from pieces in any number of parts are those of all songs at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from musicrec.encoder import artist_tasks
from musicrec.encoder.artists import ArtistFiles
from musicrec.encoder.features import raw_songs
from musicrec.encoder.learning.artists import MAX_OF_ARTIST, NO_ARTIST, sum_by_artist
from musicrec.encoder.learning.inputs import fit_encodings
from musicrec.encoder.learning.song_inputs import encode_values
from musicrec.songs import FEATURES
from musicrec.spark.partitions import partition_targets
from musicrec.storage.array_files import ArrayFiles
from tests.roots import as_store

N = 3000


def make_tracks() -> pa.Table:
    rng = np.random.default_rng(4)
    # Hashes, of either sign; one of more songs than tell anything; songs of artists alone, and of nobody.
    artists = rng.integers(-(2**62), 2**62, 400)[rng.integers(0, 400, N)]
    artists[: MAX_OF_ARTIST + 1] = -7
    artists[MAX_OF_ARTIST + 1 : MAX_OF_ARTIST + 50] = np.arange(49) * 2**50
    nobody = rng.random(N) < 0.1
    columns = {
        name: rng.uniform(1, 11, N).round() if name in ("key", "mode") else rng.random(N) for name in FEATURES
    }
    columns |= {"tempo": rng.uniform(60, 180, N), "duration_ms": rng.uniform(1e5, 3e5, N)}
    dates, genres = (pa.nulls(N, pa.string()) for _ in range(2))
    return pa.table(
        {
            "artist_key": pa.array(artists, mask=nobody), **columns, "release_date": dates,
            "popularity": rng.uniform(0, 100, N), "genre": genres,
        }
    )  # fmt: skip


@pytest.mark.parametrize(("n_pieces", "n_parts"), [(1, 1), (5, 3)])
def test_sums_of_pieces_are_those_of_all_songs(spark, tmp_path: Path, n_pieces: int, n_parts: int) -> None:
    tracks = make_tracks()
    songs = raw_songs(tracks, with_texts=False)
    encodings = fit_encodings(songs.values, optional=["popularity"])
    values, _ = encode_values(songs, encodings=encodings)
    order = np.random.default_rng(n_pieces).permutation(N)
    pieces = [tracks.take(pa.array(rows)) for rows in np.array_split(order, n_pieces)]
    blocks = artist_tasks.as_artist_blocks(
        spark.range(0, n_pieces, 1, n_pieces),
        read=lambda number, columns: pieces[number].select(columns),
        encodings=encodings,
        targets=partition_targets(n_parts),
    )
    files = ArrayFiles(as_store(tmp_path))
    artist_tasks.write_sums(blocks, n_parts=n_parts, n_values=values.shape[1], files=files).toArrow()
    asked = np.append(songs.artists, 123)
    counts, sums = ArtistFiles(files, n_parts, values.shape[1]).of(asked)
    all_counts, all_sums = sum_by_artist(songs.artists, values).of(asked)
    # Only who has several songs, and not too many, is kept.
    told = (all_counts > 1) & (all_counts <= MAX_OF_ARTIST)
    assert 0 < told.sum() < N
    assert not told[np.append(songs.artists, 0) == NO_ARTIST].any()
    np.testing.assert_array_equal(counts, np.where(told, all_counts, 0))
    np.testing.assert_array_equal(sums, np.where(told[:, None], all_sums, 0))

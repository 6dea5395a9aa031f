"""A sample of a large catalog: about as many songs as are asked for, half of them with their playlists."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from musicrec.catalog.clean_tasks import as_tracks, rules_of
from musicrec.catalog.relations import read_relations
from musicrec.catalog.sources import read_source
from musicrec.config import Config
from musicrec.encoder.sample import GENRE, PLAYLIST, Songs, sample_songs
from musicrec.encoder.sample_tasks import TrackFiles, TrackRows, Tracks, keep_first
from musicrec.errors import InputError
from musicrec.spark.arrow import numbers
from musicrec.storage.rows import RowFiles
from tests.conftest import make_config
from tests.made import make_numbered
from tests.roots import as_store

SIZE = 300


@pytest.fixture(scope="module")
def tracks(spark, catalog):
    out, expected = catalog
    config = make_config(out / "tracks", out)
    tracks = as_tracks(source := read_source(spark, config.input), rules_of(source)).persist()
    yield tracks, expected["n_tracks"]
    tracks.unpersist()


def known_ids(tracks) -> list[str]:
    return sorted(row["track_id"] for row in tracks.select("track_id").collect())


def write_playlists(directory: Path, *playlists: list[str]) -> Path:
    rows = [(f"playlist-{i}", track_id) for i, ids in enumerate(playlists) for track_id in ids]
    pd.DataFrame(rows, columns=["playlist_id", "track_id"]).to_csv(directory / "playlists.csv", index=False)
    return directory / "playlists.csv"


def configure(out: Path, playlists: Path | None) -> Config:
    return make_config(out, out, *([f"input.playlists={playlists}"] if playlists else []))


def sample(spark, tracks: Tracks, config: Config, **sizes: int) -> Songs:
    playlists = read_relations(spark, config.input).playlists
    return sample_songs(tracks, config, playlists=playlists, **sizes)


def test_playlists_come_whole(spark, tracks, catalog) -> None:
    songs, n_tracks = tracks
    out, _ = catalog
    config = configure(out, out / "playlists")
    everything = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=n_tracks)
    assert everything.labeled.num_rows == n_tracks
    found = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=SIZE)
    keys = numbers(found.labeled["track_key"])
    assert 0.8 * SIZE < len(set(keys.tolist())) == len(keys) < 1.2 * SIZE
    assert found.judged_by == PLAYLIST
    # How many songs of the catalog each playlist has, and how many of them came.
    size = pd.Series(everything.group).value_counts()
    came = pd.Series(found.group).value_counts().reindex(size.index, fill_value=0)
    is_whole = came / size > 0.8
    assert is_whole.sum() >= 3
    assert 0.3 * SIZE < size[is_whole].sum() <= 0.7 * SIZE
    # Of the others came what would come of each, were songs drawn by themselves.
    assert (came / size)[~is_whole].mean() < 0.3
    # Neither partitions nor the order of rows change anything.
    again = sample(spark, TrackRows(songs.repartition(5)), config, n_tracks=n_tracks, sample_size=SIZE)
    assert again.labeled.equals(found.labeled)
    np.testing.assert_array_equal(again.group, found.group)
    np.testing.assert_array_equal(again.song, found.song)


def test_a_catalog_in_files_gives_the_same_sample(spark, tracks, catalog, tmp_path) -> None:
    songs, n_tracks = tracks
    out, _ = catalog
    config = configure(out, out / "playlists")
    expected = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=SIZE)
    table, files = songs.toArrow(), RowFiles(as_store(tmp_path))
    for number in range(3):
        files.write(7 * number, table.take(list(range(number, table.num_rows, 3))))
    ids, keys = table["track_id"].to_pylist(), table["track_key"].to_pylist()
    numbered = make_numbered(tmp_path, ids, keys=keys, facts=keys, n_ranges=2)
    in_files = TrackFiles(files, numbered, lambda n: spark.range(0, n, 1, n))
    found = sample(spark, in_files, config, n_tracks=n_tracks, sample_size=SIZE)
    assert found.labeled.equals(expected.labeled)
    assert found.memberships.equals(expected.memberships)
    everything = sample(spark, in_files, config, n_tracks=n_tracks, sample_size=n_tracks)
    assert sorted(everything.labeled["track_key"].to_pylist()) == sorted(keys)


def test_first_pairs_are_the_same_in_any_pieces() -> None:
    rng = np.random.default_rng(6)
    pairs = pa.table({"track_key": rng.integers(0, 400, 3000), "playlist_key": rng.integers(-5, 60, 3000)})
    whole = keep_first([pairs], n=70, seed=3)
    shuffled = pairs.take(rng.permutation(3000))
    for size in (50, 999):
        pieces = [shuffled.slice(first, size) for first in range(0, 3000, size)]
        assert keep_first(pieces, n=70, seed=3).equals(whole)
    assert whole.num_rows == 70
    # All playlists but the last are whole.
    came = set(map(tuple, zip(*whole.to_pydict().values(), strict=True)))
    given = set(map(tuple, zip(*pairs.to_pydict().values(), strict=True)))
    missing = {p for _, p in given - came if p in {q for _, q in came}}
    assert len(missing) <= 1
    assert keep_first([], n=70, seed=3).num_rows == 0


def test_repeated_memberships_count_once(spark, tracks, tmp_path) -> None:
    """A list of plays names a song as often as it was played."""
    songs, n_tracks = tracks
    ids = known_ids(songs)
    once, often = (tmp_path / name for name in ("once", "often"))
    for directory, n_repeats in ((once, 1), (often, 40)):
        directory.mkdir()
        write_playlists(directory, *[ids[i::60] * n_repeats for i in range(60)])
    found, repeated = (
        sample(
            spark, TrackRows(songs), configure(tmp_path, directory / "playlists.csv"),
            n_tracks=n_tracks, sample_size=SIZE,
        )
        for directory in (once, often)
    )  # fmt: skip
    assert repeated.labeled.equals(found.labeled)


def test_a_playlist_of_everything_leaves_room(spark, tracks, tmp_path) -> None:
    songs, n_tracks = tracks
    config = configure(tmp_path, write_playlists(tmp_path, known_ids(songs)))
    found = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=SIZE)
    assert 0.8 * SIZE < found.labeled.num_rows < 1.2 * SIZE


def test_the_songs_of_few_playlists_all_come(spark, tracks, tmp_path) -> None:
    songs, n_tracks = tracks
    ids = known_ids(songs)
    config = configure(tmp_path, write_playlists(tmp_path, ids[:5], ids[40:44], ["of another catalog"]))
    found = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=SIZE)
    assert sorted(np.unique(found.group, return_counts=True)[1]) == [4, 5]
    assert 0.8 * SIZE < found.labeled.num_rows < 1.2 * SIZE


@pytest.mark.parametrize("size", [SIZE, 10_000])
def test_playlists_of_another_catalog_are_refused(spark, tracks, tmp_path, size) -> None:
    songs, n_tracks = tracks
    config = configure(tmp_path, write_playlists(tmp_path, ["theirs-1"], ["theirs-2", "theirs-3"]))
    with pytest.raises(InputError) as error:
        sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=size)
    ours = known_ids(songs)[0]
    assert (
        f"none of the playlists is a song of the catalog: they say 'theirs-1' where the catalog says '{ours}'"
        in (str(error.value))
    )
    assert "playlists.csv" in str(error.value)


def test_without_playlists_songs_are_drawn_by_themselves(spark, tracks, tmp_path) -> None:
    songs, n_tracks = tracks
    config = configure(tmp_path, None)
    found = sample(spark, TrackRows(songs), config, n_tracks=n_tracks, sample_size=SIZE)
    assert 0.8 * SIZE < found.labeled.num_rows < 1.2 * SIZE
    assert found.judged_by == GENRE

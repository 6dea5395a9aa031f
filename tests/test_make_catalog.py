from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest

from musicrec.songs import FEATURE_RULES


def tracks(out: Path) -> pd.DataFrame:
    return ds.dataset(out / "tracks").to_table().to_pandas()


def make(generator: ModuleType, out: Path, n: int, seed: int = 3) -> pd.DataFrame:
    generator.make_catalog(out, n_songs=n, seed=seed, file_format="parquet")
    return tracks(out)


def test_same_seed_same_catalog(generator: ModuleType, tmp_path: Path) -> None:
    one, two, other = (
        make(generator, tmp_path / "1", 500),
        make(generator, tmp_path / "2", 500),
        make(generator, tmp_path / "3", 500, seed=4),
    )
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


@pytest.mark.parametrize("n", [1, 5, 60])
def test_small_sizes(generator: ModuleType, tmp_path: Path, n: int) -> None:
    counts = generator.make_catalog(tmp_path, n_songs=n, seed=1, file_format="csv")
    assert counts["n_tracks"] + counts["n_quarantined"] == n


def test_chunks_share_artists_but_no_ids(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "CHUNK_SONGS", 1000)
    songs = make(generator, tmp_path, 3000)
    assert len(list((tmp_path / "tracks").iterdir())) == 3
    parts = [
        set(ds.dataset(p).to_table().column("track_id").drop_null().to_pylist())
        for p in sorted((tmp_path / "tracks").iterdir())
    ]
    assert not parts[0] & parts[1]
    names = [
        set(ds.dataset(p).to_table().column("artist").to_pylist()) for p in sorted((tmp_path / "tracks").iterdir())
    ]
    assert len(names[0] & names[1]) > 50
    assert songs["track_id"].nunique() > 2900


def test_clean_values_keep_the_rules(generator: ModuleType, tmp_path: Path) -> None:
    songs = make(generator, tmp_path, 4000)
    truth = ds.dataset(tmp_path / "truth" / "rows").to_table().to_pandas()
    clean = songs[truth["planted"].isin(["", "remaster", "repeat", "conflict"]).to_numpy()]
    assert len(clean) > 3800
    for rule in FEATURE_RULES:
        values = clean[rule.name].dropna()
        odd = values[~values.between(rule.low, rule.high)]
        assert odd.isin([rule.missing_at]).all(), rule.name


def test_playlists_keep_to_styles(generator: ModuleType, tmp_path: Path) -> None:
    make(generator, tmp_path, 4000)
    truth = ds.dataset(tmp_path / "truth" / "rows").to_table().to_pandas().drop_duplicates("track_id")
    playlists = ds.dataset(tmp_path / "playlists").to_table().to_pandas().merge(truth, on="track_id")
    largest = playlists.groupby("playlist_id")["style"].agg(lambda s: s.value_counts(normalize=True).iloc[0])
    assert largest.mean() > 0.5
    assert not ds.dataset(tmp_path / "playlists").to_table().to_pandas().duplicated().any()


def test_styles_differ_in_sound(generator: ModuleType, tmp_path: Path) -> None:
    songs = make(generator, tmp_path, 4000)
    style = ds.dataset(tmp_path / "truth" / "rows").to_table().to_pandas()["style"].to_numpy()
    known = songs["acousticness"].notna().to_numpy()
    values = songs["acousticness"].to_numpy()[known]
    means = np.array([values[style[known] == s].mean() for s in np.unique(style)])
    assert means.std() > 0.1

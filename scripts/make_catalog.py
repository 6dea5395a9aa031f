"""Make a synthetic catalog: songs, playlists and favorites with planted structure, dirt and the truth of both.

Songs belong to artists, artists to styles; a style has its own distribution of each audio feature, and
playlists and listeners keep to a few styles. Written in chunks, so memory does not grow with the catalog.

OUT/tracks/       songs (Parquet or CSV), with dirt
OUT/playlists/    playlist_id, track_id
OUT/favorites/    user_id, track_id
OUT/truth/        rows/: row by row what was planted (track_id, planted, style, copy_of)
                  counts.json: what a correct cleaning must count
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from names import make_albums, make_artists, make_dates, make_ids, make_titles
from numpy.typing import NDArray

from musicrec.arrays import Bools, Doubles, Ints
from musicrec.songs import FEATURES

CHUNK_SONGS = 100_000
N_STYLES = 24
GENRES = ("pop", "rock", "hip hop", "electronic", "jazz", "folk", "classical", "latin")
SHARES = ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence")
# Where a typical song of any style stands, as the logarithm of the odds.
SHARE_CENTERS = (0.7, 0.9, -2.6, -1.6, -4.0, -1.6, 0.1)
SHARE_SPREADS = (0.9, 1.1, 0.7, 1.8, 2.5, 0.5, 0.9)

# Share of rows per planted kind. The reason is what the quarantine must say; None: the row stays a song.
REFUSED = {
    "missing_id": 0.0006,
    "danceability_infinite": 0.0006,
    "energy_infinite": 0.0006,
    "loudness_out_of_range": 0.0006,
    "key_out_of_range": 0.0006,
    "tempo_out_of_range": 0.0006,
    "duration_ms_out_of_range": 0.0006,
    "too_few_features": 0.0006,
}
KEPT = {
    "key_unknown": 0.01,
    "tempo_unknown": 0.002,
    "never_analyzed": 0.001,
    "feature_missing": 0.01,
    "name_na": 0.001,
}
REMASTERS, REPEATS, CONFLICTS = 0.02, 0.01, 0.002


@dataclass(frozen=True)
class World:
    """What all chunks share."""

    seed: int
    n_songs: int
    n_artists: int
    centers: Doubles  # (N_STYLES, len(SHARES))
    tempos_bpm: Doubles  # (N_STYLES,)
    loudness_db: Doubles  # (N_STYLES,)
    log_duration: Doubles  # (N_STYLES,)
    minor_share: Doubles  # (N_STYLES,)


def make_world(n_songs: int, seed: int) -> World:
    """Return the styles."""
    rng = np.random.default_rng([seed, 0])
    spread = np.array(SHARE_SPREADS)
    return World(
        seed=seed,
        n_songs=n_songs,
        n_artists=max(1, n_songs // 12),
        centers=np.array(SHARE_CENTERS) + rng.normal(size=(N_STYLES, len(SHARES))) * spread,
        tempos_bpm=rng.uniform(75, 150, N_STYLES),
        loudness_db=rng.uniform(-14, -5, N_STYLES),
        log_duration=np.log(rng.uniform(150_000, 320_000, N_STYLES)),
        minor_share=rng.uniform(0.2, 0.7, N_STYLES),
    )


def make_songs(world: World, rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Return clean columns of n songs by name: numpy arrays, Arrow arrays for text, and `style`."""
    artist = (world.n_artists * rng.random(n) ** 1.5).astype(np.int64)
    by_artist = _noise(artist, world.seed)
    style = (by_artist * N_STYLES).astype(np.int64)
    own = np.stack([_noise(artist, world.seed + 1 + i) - 0.5 for i in range(len(SHARES))], axis=1)
    odds = world.centers[style] + 0.8 * own + rng.normal(size=own.shape) * 0.45 * np.array(SHARE_SPREADS)
    shares = 1.0 / (1.0 + np.exp(-odds))  # (n, len(SHARES))
    album = rng.integers(0, 4, n)
    year = np.clip(1965 + (55 * _noise(artist, world.seed + 20)).astype(int) + album * 2, 1960, 2025)
    songs: dict[str, Any] = {name: np.round(shares[:, i], 4) for i, name in enumerate(SHARES)}
    tempo = world.tempos_bpm[style] * np.exp(rng.normal(0, 0.08, n)) * rng.choice([1.0, 2.0], n, p=[0.9, 0.1])
    songs |= {
        "track_id": make_ids(rng, n),
        "title": make_titles(rng, n),
        "artist": make_artists(artist),
        "album": make_albums(artist, album),
        "release_date": make_dates(rng, year),
        "popularity": np.round(100 * rng.beta(1.6, 2.4, n)),
        "genre": pa.array(GENRES).take(pa.array(style % len(GENRES))),
        "explicit": rng.random(n) < 0.12,
        "key": rng.integers(0, 12, n).astype(np.float64),
        "mode": (rng.random(n) > world.minor_share[style]).astype(np.float64),
        "loudness": np.round(world.loudness_db[style] + rng.normal(0, 2.0, n), 3),
        "tempo": np.round(tempo, 3),
        "duration_ms": np.round(np.exp(world.log_duration[style] + rng.normal(0, 0.2, n))),
        "style": style,
    }
    return songs


def plant(rng: np.random.Generator, songs: dict[str, Any]) -> tuple[pa.Table, pa.Table]:
    """Return the rows with remasters, repeats and dirt, and for each row what was planted."""
    n = len(songs["style"])
    missing = {name: np.zeros(n, dtype=bool) for name in FEATURES}
    planted = np.full(n, "", dtype=object)
    copy_of = np.full(n, None, dtype=object)
    _plant_remasters(rng, songs, planted, copy_of)
    _plant_dirt(rng, songs, missing, planted)
    rows = _as_table(songs, missing)
    truth = pa.table(
        {
            "track_id": rows.column("track_id"),
            "planted": pa.array(planted, type=pa.string()),
            "style": pa.array(songs["style"]),
            "copy_of": pa.array(copy_of, type=pa.string()),
        }
    )
    return _with_repeats(rng, rows, truth)


def make_groups(
    rng: np.random.Generator,
    ids: pa.Array,
    styles: Ints,
    *,
    prefix: str,
    n_groups: int,
    mean_size: int,
) -> tuple[pa.Array, pa.Array]:
    """Return (group, track_id) pairs: each group keeps to two styles, with a tenth of anything."""
    order = np.argsort(styles, kind="stable")
    starts = np.searchsorted(styles[order], np.arange(N_STYLES + 1))
    filled = np.flatnonzero(np.diff(starts))
    sizes = 2 + rng.poisson(mean_size - 2, n_groups)
    owner = np.repeat(np.arange(n_groups), sizes)
    tastes = rng.choice(filled, (n_groups, 2))
    style = tastes[owner, rng.choice(2, len(owner), p=[0.7, 0.3])]
    within = starts[style] + (rng.random(len(owner)) * np.diff(starts)[style]).astype(np.int64)
    song = np.where(rng.random(len(owner)) < 0.1, rng.integers(0, len(ids), len(owner)), order[within])
    pairs = np.unique(np.stack([owner, song], axis=1), axis=0)
    names = pc.binary_join_element_wise(
        pa.array([prefix]).take(pa.array(np.zeros(len(pairs), dtype=int))),
        pa.array(pairs[:, 0]).cast("string"),
        "-",
    )
    return names, ids.take(pa.array(pairs[:, 1]))


def make_catalog(out: Path, *, n_songs: int, seed: int, file_format: str) -> dict[str, Any]:
    """Write the catalog chunk by chunk and return the counts that a correct cleaning must find."""
    for name in ("tracks", "playlists", "favorites", "truth/rows"):
        (out / name).mkdir(parents=True)
    world = make_world(n_songs, seed)
    counts: Counter[str] = Counter()
    for number, start in enumerate(range(0, n_songs, CHUNK_SONGS)):
        rng = np.random.default_rng([seed, 1 + number])
        songs = make_songs(world, rng, min(CHUNK_SONGS, n_songs - start))
        rows, truth = plant(rng, songs)
        _write(rows, out / "tracks", number, file_format)
        pq.write_table(truth, out / "truth/rows" / f"part-{number:05d}.parquet")
        counts.update(truth.column("planted").to_pylist())
        ids, styles = pa.array(songs["track_id"]), songs["style"]
        n = len(styles)
        # Each list has about 30 songs; a sixth of the songs stand in one.
        playlists = make_groups(
            rng, ids, styles, prefix=f"playlist-{number}", n_groups=max(1, n // 50), mean_size=30
        )
        favorites = make_groups(rng, ids, styles, prefix=f"user-{number}", n_groups=max(1, n // 20), mean_size=12)
        strangers = pa.array([f"unknown-{number}-{i}" for i in range(max(1, n // 1000))])
        users = favorites[0].take(pa.array(rng.integers(0, len(favorites[0]), len(strangers))))
        pairs = {
            "user_id": pa.concat_arrays([favorites[0], users]),
            "track_id": pa.concat_arrays([favorites[1], strangers]),
        }
        _write(
            pa.table({"playlist_id": playlists[0], "track_id": playlists[1]}),
            out / "playlists",
            number,
            file_format,
        )
        _write(pa.table(pairs), out / "favorites", number, file_format)
        counts["unknown_favorites"] += len(strangers)
    expected = _expected(counts, n_songs)
    (out / "truth/counts.json").write_text(json.dumps(expected, indent=2) + "\n")
    return expected


def _expected(counts: Mapping[str, int], n_songs: int) -> dict[str, Any]:
    reasons = {name: counts[name] for name in REFUSED if counts.get(name)}
    n_duplicates = counts.get("repeat", 0) + counts.get("conflict", 0)
    return {
        "n_rows": n_songs + n_duplicates,
        "n_tracks": n_songs - sum(reasons.values()),
        "n_duplicates": n_duplicates,
        "n_quarantined": sum(reasons.values()),
        "quarantine_reasons": reasons,
        "planted": {name: n for name, n in sorted(counts.items()) if name},
    }


def _plant_remasters(
    rng: np.random.Generator, songs: dict[str, Any], planted: NDArray[Any], copy_of: NDArray[Any]
) -> None:
    n = len(planted)
    copies = rng.choice(n, int(n * REMASTERS), replace=False)
    if not len(copies):
        return
    originals = rng.choice(np.setdiff1d(np.arange(n), copies), len(copies), replace=True)
    source = np.arange(n)
    source[copies] = originals
    kept = ("track_id", "popularity")
    for name in songs:
        if name not in kept:
            column = songs[name]
            songs[name] = column.take(pa.array(source)) if isinstance(column, pa.Array) else column[source]
    titles = songs["title"].to_pylist()
    for copy in copies:
        titles[copy] = f"{titles[copy]} - 2011 Remaster"
    songs["title"] = pa.array(titles)
    # A new master is a little louder, or the analysis found the same numbers.
    songs["loudness"][copies] += np.where(rng.random(len(copies)) < 0.5, 0.4, 0.0)
    planted[copies] = "remaster"
    copy_of[copies] = songs["track_id"][originals]


def _plant_dirt(
    rng: np.random.Generator,
    songs: dict[str, Any],
    missing: dict[str, Bools],
    planted: NDArray[Any],
) -> None:
    free = rng.permutation(np.flatnonzero(planted == ""))
    taken = 0
    for kind, share in {**REFUSED, **KEPT}.items():
        rows = free[taken : taken + _count(len(planted), share)]
        taken += len(rows)
        planted[rows] = kind
        _soil(kind, rows, songs, missing)


def _soil(kind: str, rows: Ints, songs: dict[str, Any], missing: dict[str, Bools]) -> None:
    values = {
        "danceability_infinite": ("danceability", -np.inf),
        "energy_infinite": ("energy", np.inf),
        "loudness_out_of_range": ("loudness", 1e30),
        "key_out_of_range": ("key", 99.0),
        "tempo_out_of_range": ("tempo", -120.0),
        "duration_ms_out_of_range": ("duration_ms", 0.0),
        "key_unknown": ("key", -1.0),
        "tempo_unknown": ("tempo", 0.0),
    }
    if kind in values:
        name, value = values[kind]
        songs[name][rows] = value
    elif kind == "never_analyzed":
        for name in ("danceability", "valence", "speechiness", "tempo"):
            songs[name][rows] = 0.0
    elif kind == "feature_missing":
        missing["liveness"][rows] = True
    elif kind == "too_few_features":
        for name in FEATURES[:8]:
            missing[name][rows] = True
    elif kind == "missing_id":
        songs["track_id"][rows] = ""
    elif kind == "name_na":
        for name in ("title", "artist", "album"):
            texts = songs[name].to_pylist()
            for row in rows:
                texts[row] = "NA"
            songs[name] = pa.array(texts)


def _count(n: int, share: float) -> int:
    """Return how many of n rows get something planted: at least one, except in a tiny catalog."""
    return max(int(n >= 1000), int(n * share))


def _with_repeats(rng: np.random.Generator, rows: pa.Table, truth: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Append exact repeats of rows, and rows that say something else of the same id."""
    clean = np.flatnonzero(
        np.isin(truth.column("planted").to_numpy(zero_copy_only=False), list(REFUSED), invert=True)
    )
    n = len(rows)
    repeats = rng.choice(clean, _count(n, REPEATS), replace=False)
    conflicts = rng.choice(clean, _count(n, CONFLICTS), replace=False)
    other = rows.take(pa.array(conflicts))
    lower = pc.subtract(other.column("popularity"), 1.0)
    other = other.set_column(other.column_names.index("popularity"), "popularity", lower)
    marked = [
        truth.take(pa.array(chosen)).set_column(1, "planted", pa.array([kind] * len(chosen), type=pa.string()))
        for chosen, kind in ((repeats, "repeat"), (conflicts, "conflict"))
    ]
    everything = pa.concat_tables([rows, rows.take(pa.array(repeats)), other])
    order = pa.array(rng.permutation(len(everything)))
    return everything.take(order), pa.concat_tables([truth, *marked]).take(order)


def _as_table(songs: dict[str, Any], missing: dict[str, Bools]) -> pa.Table:
    names = (
        "track_id",
        "title",
        "artist",
        "album",
        "release_date",
        "popularity",
        "genre",
        "explicit",
        *FEATURES,
    )
    columns = {
        name: pa.array(songs[name], mask=missing[name]) if name in missing else pa.array(songs[name])
        for name in names
    }
    columns["track_id"] = pc.if_else(pc.equal(columns["track_id"], ""), None, columns["track_id"])
    return pa.table(columns)


def _write(rows: pa.Table, directory: Path, number: int, file_format: str) -> None:
    path = directory / f"part-{number:05d}.{file_format}"
    if file_format == "csv":
        pa.csv.write_csv(rows, path)
    else:
        pq.write_table(rows, path, compression="zstd")


def _noise(index: Ints, salt: int) -> Doubles:
    """Return a number in [0, 1) per index, the same in every chunk (the finalizer of splitmix64)."""
    x = index.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15 + 1) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    mixed: Doubles = ((x ^ (x >> np.uint64(31))) >> np.uint64(11)) / 2.0**53
    return mixed


def main() -> int:
    """Parse the command line and write the catalog."""
    parser = argparse.ArgumentParser(description="Make a synthetic catalog of songs with planted truth.")
    parser.add_argument("--songs", type=int, required=True, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    arguments = parser.parse_args()
    if arguments.songs < 1:
        parser.error("--songs must be at least 1")
    if arguments.output.exists() and any(arguments.output.iterdir()):
        parser.error(f"{arguments.output} is not empty")
    counts = make_catalog(
        arguments.output, n_songs=arguments.songs, seed=arguments.seed, file_format=arguments.format
    )
    print(f"{counts['n_rows']:,} rows of {counts['n_tracks']:,} songs in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

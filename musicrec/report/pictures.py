"""What the report shows, collected in small samples: lists with titles, a map, scores."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from musicrec.arrays import Doubles, Floats
from musicrec.catalog.clean import Catalog
from musicrec.context import Context
from musicrec.encoder import sample
from musicrec.encoder.learning.model import embed, from_files
from musicrec.encoder.learning.training import Epoch
from musicrec.neighbors.search.items import Items
from musicrec.report import popularity
from musicrec.report import rival as stage
from musicrec.report.page import Example, Occurrences, Pictures
from musicrec.songs import FEATURES
from musicrec.spark.arrow import column_matrix, numbers
from musicrec.storage import datasets

N_MAPPED, N_SCORED, N_EXAMPLES, N_LABELS = 5000, 20_000, 10, 8


def collect_pictures(
    context: Context,
    catalog: Catalog,
    *,
    raw_sample: Doubles,
    history: list[Epoch],
    rival: tuple[bytes, bytes] | None,
    occurrences: DataFrame,
    n_recommendations: int,
) -> Pictures:
    """Return what `render_report` draws, from samples of bounded size.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    raw_sample : float64 array, shape (n, n_raw)
        `songs.RAW_INPUTS` of the sample.
    history : list of Epoch
    rival : tuple of bytes, or None
        The files of the encoder that the shipped one was compared with.
    occurrences : DataFrame
        `schemas.OCCURRENCES`.
    n_recommendations : int
        Of all songs.
    """
    recommendations = context.read(datasets.RECOMMENDATIONS)
    points, labels = _map(context, catalog)
    return Pictures(
        raw_features=raw_sample[:, : len(FEATURES)],
        history=[(epoch.number, epoch.loss, epoch.held_out_score) for epoch in history],
        points=points,
        labels=labels,
        scores=_scores(recommendations, n_rows=n_recommendations),
        examples=_examples(context, catalog, recommendations, rival),
        occurrences=_occurrences(catalog, occurrences),
    )


def _occurrences(catalog: Catalog, occurrences: DataFrame) -> Occurrences:
    table = popularity.count_occurrences(occurrences, tracks=catalog.tracks).toArrow()
    tenth = numbers(pc.fill_null(table["tenth"], -1))
    return Occurrences(tenth, numbers(table["n_lists"]), numbers(table["n_songs"]))


def _map(context: Context, catalog: Catalog) -> tuple[Floats, list[str]]:
    embeddings = context.read(datasets.EMBEDDINGS)
    drawn = sample.keep_sample(
        embeddings, key="track_key", n_rows=catalog.n_tracks, sample_size=N_MAPPED, seed=2
    ).select("track_key", "embedding")
    genres = catalog.tracks.select("track_key", "genre")
    table = drawn.join(genres, on="track_key", how="inner").toArrow().sort_by("track_key").combine_chunks()
    vectors = column_matrix(_one_chunk(table.column("embedding")))
    return _principal_plane(vectors), _common_labels(table.column("genre").to_pylist())


def _principal_plane(vectors: Floats) -> Floats:
    """Return the first two principal components (n, 2); 0 where there are fewer."""
    centered = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    plane = np.zeros((len(vectors), 2), dtype=np.float32)
    plane[:, : len(axes[:2])] = centered @ axes[:2].T
    return plane


def _common_labels(genres: list[str | None]) -> list[str]:
    common = {name for name, _ in Counter(g for g in genres if g).most_common(N_LABELS)}
    return ["" if not common else genre if genre in common else "other" for genre in genres]


def _scores(recommendations: DataFrame, *, n_rows: int) -> dict[int, NDArray[Any]]:
    """Return the scores at the first and at the last rank of a sample of songs."""
    hashed = recommendations.withColumn("key", F.xxhash64("track_id"))
    drawn = sample.keep_sample(hashed, key="key", n_rows=n_rows, sample_size=N_SCORED * 10, seed=3)
    table = drawn.select("rank", "score").toArrow()
    ranks, scores = numbers(table.column("rank")), numbers(table.column("score"))
    return {int(r): scores[ranks == r] for r in sorted({1, int(ranks.max(initial=1))})}


def _examples(
    context: Context, catalog: Catalog, recommendations: DataFrame, rival: tuple[bytes, bytes] | None
) -> list[Example]:
    titled = catalog.tracks.where("title IS NOT NULL AND artist IS NOT NULL")
    # The most popular songs are those a reader knows.
    queries = titled.orderBy(
        F.col("popularity").desc_nulls_last(), F.xxhash64("track_key", F.lit(5)), "track_id"
    ).limit(N_EXAMPLES)
    asked = queries.select("track_key", "track_id").toArrow().sort_by("track_id")
    chosen = recommendations.where(F.col("track_id").isin(asked["track_id"].to_pylist())).toArrow()
    others = _rival_lists(context, asked, rival) if rival and asked.num_rows else {}
    ids = {*asked["track_id"].to_pylist(), *chosen["recommended_track_id"].to_pylist()}
    names = _names(catalog.tracks, ids=ids, keys={key for places in others.values() for key, _ in places})
    lists: dict[str, list[tuple[str, float]]] = {track_id: [] for track_id in asked["track_id"].to_pylist()}
    for row in chosen.sort_by([("track_id", "ascending"), ("rank", "ascending")]).to_pylist():
        lists[row["track_id"]].append((names[row["recommended_track_id"]], row["score"]))
    return [
        Example(names[track_id], lists[track_id], [(names[key], score) for key, score in others.get(key, [])])
        for key, track_id in zip(asked["track_key"].to_pylist(), asked["track_id"].to_pylist(), strict=True)
        if lists[track_id]
    ]


def _rival_lists(
    context: Context, asked: pa.Table, rival: tuple[bytes, bytes]
) -> dict[int, list[tuple[int, float]]]:
    """Return the nearest songs of each asked one, (key, score) by rank, by what the encoder was compared with."""
    settings = context.config.neighbors
    features = context.read(datasets.FEATURE_VECTORS)
    recording = "recording_key" if settings.one_per_recording else "track_key"
    wanted = features.where(F.col("track_key").isin(asked["track_key"].to_pylist()))
    songs = stage.as_items(
        wanted.selectExpr("track_key", f"{recording} AS recording_key", "features").toArrow().sort_by("track_key")
    )
    queries = Items(songs.keys, songs.recordings, embed(from_files(*rival)[0], songs.vectors.astype(np.float32)))
    weights, description = rival
    found = stage.merge(
        stage.as_nearest(
            features, queries=queries, weights=weights, description=description, k=settings.k, recording=recording
        ).toArrow(),
        n_queries=len(queries),
        k=settings.k,
    )
    return {
        # A key is a hash, so it may be negative; NaN is no neighbor.
        int(query): [
            (int(key), float(score)) for key, score in zip(keys, scores, strict=True) if not np.isnan(score)
        ]
        for query, keys, scores in zip(queries.keys, found.keys, found.scores, strict=True)
    }


def _names(tracks: DataFrame, *, ids: set[str], keys: set[int]) -> dict[str | int, str]:
    """Return the names of songs, by their id and by their key."""
    # A few hundred at most.
    wanted = tracks.where(F.col("track_id").isin(sorted(ids)) | F.col("track_key").isin(sorted(keys)))
    names: dict[str | int, str] = {}
    for row in wanted.select("track_key", "track_id", "title", "artist").collect():
        names[row["track_id"]] = names[row["track_key"]] = _name(row.asDict())
    return names


def _name(row: dict[str, Any]) -> str:
    known = [str(part) for part in (row["title"], row["artist"]) if part]
    return " – ".join(known) or str(row["track_id"])


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)

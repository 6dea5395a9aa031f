"""Ranges of songs → what the report shows of them: counts, samples, and the most popular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from musicrec.arrays import Doubles, Floats, Ints, as_shares, is_drawn
from musicrec.lists.list_files import ListFiles, OccurrenceFiles
from musicrec.messages import SEEN
from musicrec.report.popularity import count_occurrences
from musicrec.spark.arrow import bools, numbers
from musicrec.spark.tasks import Batches, each_number
from musicrec.storage.rows import RowFiles

_SEEN = pa.schema(
    {
        "part": pa.int32(),
        "tenth": pa.list_(pa.int64()),
        "n_lists": pa.list_(pa.int64()),
        "n_songs": pa.list_(pa.int64()),
        "first_scores": pa.list_(pa.float32()),
        "last_scores": pa.list_(pa.float32()),
        "mapped_keys": pa.list_(pa.int64()),
        "mapped_genres": pa.list_(pa.string()),
        "popular": pa.list_(pa.int64()),
        "popularity": pa.list_(pa.float64()),
    }
)
SCORE_SEED, TIE_SEED = 3, 5
_COLUMNS = ["track_key", "title", "artist", "genre", "popularity"]


@dataclass(frozen=True)
class SeenSettings:
    """What a task needs to know.

    Attributes
    ----------
    tracks : RowFiles
        `schemas.TRACKS`, by range.
    lists : ListFiles
    occurrences : OccurrenceFiles
    scored_share, mapped_share : float
        0..1: about so many songs are drawn, for scores and for the map.
    map_seed : int
        By which songs are drawn for the map.
    n_popular : int
    """

    tracks: RowFiles
    lists: ListFiles
    occurrences: OccurrenceFiles
    scored_share: float
    mapped_share: float
    map_seed: int
    n_popular: int


def as_seen(ranges: DataFrame, *, settings: SeenSettings) -> DataFrame:
    """Return `messages.SEEN`.

    Parameters
    ----------
    ranges : DataFrame
        `id`, the numbers of the ranges.
    settings : SeenSettings
    """

    def see(batches: Batches) -> Batches:
        for part in each_number(batches):
            yield _see(part, settings)

    return ranges.mapInArrow(see, SEEN)


def _see(part: int, settings: SeenSettings) -> pa.RecordBatch:
    tracks = settings.tracks.read_piece(part, columns=_COLUMNS)
    keys = numbers(tracks["track_key"])
    popularity = numbers(pc.fill_null(tracks["popularity"], np.nan))
    tenth, n_lists, n_songs = count_occurrences(popularity, settings.occurrences.range(part))
    scores = settings.lists.range(part).scores[is_drawn(keys, share=settings.scored_share, seed=SCORE_SEED)]
    mapped = np.flatnonzero(is_drawn(keys, share=settings.mapped_share, seed=settings.map_seed))
    titled = bools(pc.and_(pc.is_valid(tracks["title"]), pc.is_valid(tracks["artist"])))
    popular = most_popular(popularity, keys, np.flatnonzero(titled), n=settings.n_popular)
    columns = {
        "part": part, "tenth": tenth, "n_lists": n_lists, "n_songs": n_songs,
        "first_scores": _taken(scores[:, :1]), "last_scores": _taken(scores[:, -1:]),
        "mapped_keys": keys[mapped], "mapped_genres": tracks["genre"].take(pa.array(mapped)).to_pylist(),
        "popular": settings.lists.numbered.firsts[part] + popular, "popularity": popularity[popular],
    }  # fmt: skip
    row = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in columns.items()}
    return pa.RecordBatch.from_pylist([row], schema=_SEEN)


def most_popular(popularity: Doubles, keys: Ints, rows: Ints, *, n: int) -> Ints:
    """Return the n of some rows that are the most popular, unknown ones last, of equal ones a draw by their keys.

    Parameters
    ----------
    popularity : float64 array, shape (n_songs,)
        NaN is unknown.
    keys : int64 array, shape (n_songs,)
    rows : int64 array, shape (m,)
    n : int
    """
    order = np.lexsort((as_shares(keys[rows], seed=TIE_SEED), -popularity[rows]))
    return rows[order[:n]]


def _taken(scores: Floats) -> Floats:
    found: Floats = scores[~np.isnan(scores)]
    return found

"""Lists of the whole catalog before and after spreading: who is forgotten, and what it costs in precision.

The encoder has not seen the artists of one split; the lists of their songs, drawn from all songs, are judged.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from musicrec import schemas
from musicrec.algorithms.encoder import embed
from musicrec.algorithms.kernel import Members, exact_nearest
from musicrec.algorithms.retrieval import Candidates
from musicrec.algorithms.spaces import Space
from musicrec.algorithms.training import train_encoder
from musicrec.arrow import list_column, numbers
from musicrec.config import Config
from musicrec.pipeline.judging import is_held_out
from musicrec.pipeline.labels import Songs, make_training_set
from musicrec.stages import spread, train


def judge_spreading(session: SparkSession, songs: Songs, config: Config, *, optional: list[str]) -> dict[str, Any]:
    """Return forgotten share, skewness and P@k of the whole catalog's lists, before and after spreading."""
    held_out = is_held_out(
        train.artists_of(songs.labeled), share=config.evaluate.test_share, split=config.evaluate.first_split
    )
    vectors = _embed_all(songs, config, optional=optional, held_out=held_out)
    k = config.neighbors.k
    lists = _as_lists(session, songs, vectors, k=k).persist()
    counts = spread.count_places(lists)
    recordings = session.createDataFrame(_names(songs))
    forgotten = spread.keep_forgotten(lists, counts=counts)
    offers = spread.as_offers(lists, forgotten=forgotten, recordings=recordings)
    places = spread.as_places(lists, offers=offers, counts=counts, k=k).persist()
    found = {}
    for name, each in (("before", lists), ("after", spread.as_spread_lists(lists, places=places))):
        occurrence = spread.measure_occurrence(spread.count_places(each), n_songs=songs.labeled.num_rows)
        found[name] = {**asdict(occurrence), "precision": _precision(each, songs, held_out=held_out, k=k)}
    lists.unpersist()
    places.unpersist()
    return found


def _embed_all(
    songs: Songs, config: Config, *, optional: list[str], held_out: NDArray[np.bool_]
) -> NDArray[np.float16]:
    _, inputs, learned, _ = make_training_set(songs, config.model, optional=optional, kept=~held_out)
    encoder, _ = train_encoder(learned, settings=config.model, on_epoch=lambda _: None)
    return embed(encoder, inputs)


def _names(songs: Songs) -> pa.Table:
    """Return `track_id, recording_key`; a track's name is its key."""
    keys = songs.labeled["track_key"].cast(pa.string())
    return pa.table({"track_id": keys, "recording_key": songs.labeled["recording_key"]})


def _as_lists(session: SparkSession, songs: Songs, vectors: NDArray[np.float16], *, k: int) -> DataFrame:
    """Return `schemas.LISTS` of the k nearest songs of each, as the join finds them: each recording once."""
    rows = np.arange(len(vectors))
    recordings = numbers(songs.labeled["recording_key"])
    members = Members(rows, recordings, vectors)
    nearest = exact_nearest(members, members, k=k, space=Space())
    present = nearest.keys >= 0
    names = _names(songs)["track_id"].combine_chunks()
    places = pa.StructArray.from_arrays(
        [
            pa.array(-nearest.scores[present]),
            names.take(pa.array(nearest.keys[present])),
            pa.array(nearest.recordings[present]),
        ],
        names=["negative_score", "track_id", "recording_key"],
    )
    lists = pa.table({"track_id": names, "list": list_column(places, present.sum(axis=1))})
    return session.createDataFrame(lists, schema=schemas.LISTS)


def _precision(lists: DataFrame, songs: Songs, *, held_out: NDArray[np.bool_], k: int) -> float:
    """Return P@k of the held-out songs' lists."""
    keys = numbers(songs.labeled["track_key"])
    table = lists.selectExpr("track_id", "list.track_id AS others").toArrow()
    query = np.searchsorted(keys, numbers(table["track_id"].cast(pa.int64())))
    others = table["others"].combine_chunks()
    row = np.repeat(query, np.diff(others.offsets.to_numpy()))
    other = np.searchsorted(keys, numbers(others.flatten().cast(pa.int64())))
    asked = held_out[row]
    candidates = Candidates.make(keys, song=songs.song, group=songs.group)
    shared = candidates.groups[row[asked]].multiply(candidates.groups[other[asked]]).sum(axis=1)
    n_right = float((np.asarray(shared) > 0).sum())
    return n_right / (k * int(held_out.sum()))

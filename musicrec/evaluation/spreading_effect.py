"""Lists of the whole catalog before and after spreading: who is forgotten, and what it costs in precision.

The encoder has not seen the artists of one split; the lists of their songs, drawn from all songs, are judged.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from musicrec.arrays import Bools, Floats, Ints
from musicrec.config import Config
from musicrec.encoder import labels
from musicrec.encoder.learning.model import embed
from musicrec.encoder.learning.training import train_encoder
from musicrec.encoder.sample import Songs
from musicrec.encoder.training_set import prepare
from musicrec.evaluation.protocol import is_test
from musicrec.lists.places import (
    SongLists,
    as_histogram,
    choose_places,
    count_places,
    find_offers,
    find_wishes,
    measure_occurrence,
)
from musicrec.measures.retrieval import Collection
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import ONE_EACH, exact_nearest
from musicrec.neighbors.search.spaces import Space
from musicrec.spark.arrow import numbers


def evaluate_spreading(songs: Songs, config: Config) -> dict[str, Any]:
    """Return forgotten share, skewness and P@k of the whole catalog's lists, before and after spreading.

    Parameters
    ----------
    songs : Songs
    config : Config
    """
    test = is_test(
        labels.artists_of(songs.labeled),
        share=config.evaluate.test_share,
        split=config.evaluate.expert.first_split,
    )
    vectors = _embed_all(songs, config, test=test)
    k = config.neighbors.k
    before = _as_lists(songs, vectors, k=k)
    owners = np.repeat(before.songs, np.diff(before.starts))
    found = {}
    for name, (owner, place) in (("before", (owners, before.places)), ("after", _spread(before, owners, k=k))):
        histogram = as_histogram(count_places(before.songs, place).n_lists)
        occurrence = measure_occurrence(histogram, n_songs=songs.labeled.num_rows)
        precision = _precision(owner, place, songs, test=test, k=k)
        found[name] = {**asdict(occurrence), "precision": precision}
    return found


def _embed_all(songs: Songs, config: Config, *, test: Bools) -> Floats:
    made = prepare(songs, config.model, kept=~test)
    encoder, _ = train_encoder(made.learned, settings=config.model, on_epoch=lambda _: None)
    return embed(encoder, made.inputs)


def _as_lists(songs: Songs, vectors: Floats, *, k: int) -> SongLists:
    """Return the k nearest songs of each, as the join finds them: each recording once. A song's row is its key."""
    rows = np.arange(len(vectors))
    facts = numbers(songs.labeled["recording_key"])[:, None]
    members = Items(rows, facts, vectors)
    nearest = exact_nearest(members, members, k=k, space=Space())
    present = nearest.keys >= 0
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return SongLists(
        rows,
        facts,
        starts,
        places=nearest.keys[present],
        place_facts=nearest.groups[present],
        scores=nearest.scores[present],
    )


def _spread(lists: SongLists, owners: Ints, *, k: int) -> tuple[Ints, Ints]:
    """Return the places of the spread lists, in any order: whose list, and the song."""
    counts = count_places(lists.songs, lists.places)
    wishes = find_wishes(lists, counts.songs[counts.n_lists == 0])
    offers = find_offers(wishes, lists, k=k, rules=ONE_EACH)
    chosen = offers.take(choose_places(offers, counts.of(offers.removed)))
    gone = chosen.take(np.flatnonzero(~chosen.has_room))
    n = len(lists.songs)
    stays = ~np.isin(owners * n + lists.places, gone.hosts * n + gone.removed)
    return np.concatenate([owners[stays], chosen.hosts]), np.concatenate([lists.places[stays], chosen.guests])


def _precision(owners: Ints, places: Ints, songs: Songs, *, test: Bools, k: int) -> float:
    """Return P@k of the held-out songs' lists."""
    asked = test[owners]
    candidates = Collection.make(numbers(songs.labeled["track_key"]), song=songs.song, group=songs.group)
    shared = candidates.groups[owners[asked]].multiply(candidates.groups[places[asked]]).sum(axis=1)
    n_right = float((np.asarray(shared) > 0).sum())
    return n_right / (k * int(test.sum()))

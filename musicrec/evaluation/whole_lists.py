"""Lists of the whole catalog, without rules, with them, and spread: what is wrong in them, and what mending costs.

The encoder has not seen the artists of one split; the lists of their songs, drawn from all songs, are judged.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow.compute as pc

from musicrec.arrays import Bools, Floats, Ints
from musicrec.catalog.facts import count_various, counts_various, facts_of
from musicrec.config import Config
from musicrec.config_lists import NO_RULES, ListsConfig
from musicrec.encoder import labels
from musicrec.encoder.learning.baselines import fit_zscore
from musicrec.encoder.learning.model import embed
from musicrec.encoder.learning.training import train_encoder
from musicrec.encoder.sample import Songs
from musicrec.encoder.training_set import prepare
from musicrec.evaluation.languages import languages_of
from musicrec.evaluation.protocol import BASELINE, is_test
from musicrec.lists.places import (
    SongLists,
    as_histogram,
    choose_places,
    count_places,
    find_offers,
    find_wishes,
    measure_occurrence,
)
from musicrec.measures.faults import NOT_KNOWN, Traits, measure_faults
from musicrec.measures.retrieval import Collection
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import exact_nearest
from musicrec.neighbors.search.rules import ListRules, make_rules
from musicrec.neighbors.search.spaces import Space
from musicrec.songs import FEATURES
from musicrec.spark.arrow import numbers
from musicrec.traits import HOLIDAY


def evaluate_lists(songs: Songs, config: Config, *, barred: Ints) -> dict[str, dict[str, float]]:
    """Return P@k, faults, forgotten share and skewness of the whole catalog's lists, by what they keep.

    Parameters
    ----------
    songs : Songs
    config : Config
        Whose rules are tried.
    barred : int64 array, shape (m,)
        The keys of songs that no list holds under the rules, rising.
    """
    test = is_test(
        labels.artists_of(songs.labeled),
        share=config.evaluate.test_share,
        split=config.evaluate.expert.first_split,
    )
    vectors, k, traits = _embed_all(songs, config, test=test), config.neighbors.k, _traits_of(songs)
    plain = fit_zscore(songs.raw[~test, : len(FEATURES)])(songs.raw[:, : len(FEATURES)])
    without_own, free = {"max_own_artist": 0}, NO_RULES
    rules = config.lists
    tried = {
        f"{BASELINE}, no rules": (plain, free),
        "encoder, no rules": (vectors, free),
        "encoder, own artist out": (vectors, free.model_copy(update=without_own)),
        "encoder, rules, own artist out": (vectors, rules.model_copy(update=without_own)),
    }
    found = {}
    for name, (of_songs, settings) in tried.items():
        lists = _as_lists(songs, of_songs, settings, barred=barred, k=k)
        found[name] = _measure(songs, _owners(lists), lists.places, traits, test=test, k=k)
    lists = _as_lists(songs, vectors, rules, barred=barred, k=k)
    found["encoder, rules"] = _measure(songs, _owners(lists), lists.places, traits, test=test, k=k)
    if rules.spread:
        owners, places = _spread(lists, _owners(lists), rules=make_rules(rules), k=k)
        found["encoder, rules, spread"] = _measure(songs, owners, places, traits, test=test, k=k)
    return found


def _measure(songs: Songs, owners: Ints, places: Ints, traits: Traits, *, test: Bools, k: int) -> dict[str, float]:
    n = songs.labeled.num_rows
    histogram = as_histogram(count_places(np.arange(n), places).n_lists)
    return {
        "precision": _precision(owners, places, songs, test=test, k=k),
        "full": float((np.bincount(owners, minlength=n) == k).mean()),
        **asdict(measure_faults(owners, places, traits)),
        **asdict(measure_occurrence(histogram, n_songs=n)),
    }


def _owners(lists: SongLists) -> Ints:
    return np.repeat(lists.songs, np.diff(lists.starts))


def _traits_of(songs: Songs) -> Traits:
    table = songs.labeled
    years = table["release_year"].to_numpy().astype(np.float64)
    return Traits(
        numbers(pc.fill_null(table["artist_key"], NOT_KNOWN)),
        numbers(table["work_key"]),
        languages_of(table["title"].combine_chunks()),
        (numbers(table["flags"]) & HOLIDAY) > 0,
        years,
    )


def _embed_all(songs: Songs, config: Config, *, test: Bools) -> Floats:
    made = prepare(songs, config.model, kept=~test)
    encoder, _ = train_encoder(made.learned, settings=config.model, on_epoch=lambda _: None)
    return embed(encoder, made.inputs)


def _as_lists(songs: Songs, vectors: Floats, settings: ListsConfig, *, barred: Ints, k: int) -> SongLists:
    """Return the lists of all songs as the join finds them. A song's row is its key."""
    rows = np.arange(len(vectors))
    with_various = counts_various(count_various(songs.labeled), songs.labeled.num_rows)
    facts = facts_of(songs.labeled, settings, barred=barred, with_various=with_various)
    members = Items(rows, facts, vectors)
    nearest = exact_nearest(members, members, k=k, rules=make_rules(settings), space=Space())
    present = nearest.keys >= 0
    places = nearest.keys[present]
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return SongLists(rows, facts, starts, places=places, place_facts=facts[places], scores=nearest.scores[present])


def _spread(lists: SongLists, owners: Ints, *, rules: ListRules, k: int) -> tuple[Ints, Ints]:
    """Return the places of the spread lists, in any order: whose list, and the song."""
    counts = count_places(lists.songs, lists.places)
    wishes = find_wishes(lists, counts.songs[counts.n_lists == 0])
    offers = find_offers(wishes, lists, k=k, rules=rules)
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

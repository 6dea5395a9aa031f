"""Lists under random rules on random songs, against a search by hand under the same rules."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.config_lists import NO_RULES, ListsConfig
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.kernel import Meetings, Search, as_candidates, exact_nearest
from musicrec.neighbors.search.pruning import reach_within
from musicrec.neighbors.search.rules import (
    NO_CANDIDATE,
    REFUSED,
    ROOM,
    ListRules,
    choose,
    find_broken,
    make_room,
    make_rules,
)
from musicrec.neighbors.search.spaces import Space, fit_frame
from musicrec.neighbors.search.top_k import Lists, merge_lists
from musicrec.traits import EXCLUDED, EXPLICIT, FLAGS, NO_GROUP, UNKNOWN_YEAR
from tests.oracles import Song, ruled_lists_by_hand, scores_by_hand

COSINE = Space()
LANGUAGES = ("en", "es", "")


@dataclass(frozen=True)
class Case:
    """Random songs, and rules for their lists: as the kernel has them, and as plain functions."""

    songs: list[Song]
    items: Items
    config: ListsConfig
    k: int

    @property
    def rules(self) -> ListRules:
        return make_rules(self.config)

    def by_hand(self) -> list[list[tuple[int, float]]]:
        scores = scores_by_hand(self.items.vectors, "cosine")
        limits = {name.removesuffix("_key"): limit for name, limit in self.config.limits.items()}
        limits = {"key" if name == "track" else name: limit for name, limit in limits.items()}
        return ruled_lists_by_hand(
            scores, self.songs, self.songs, limits=limits, may_list=may_list(self.config), k=self.k
        )


def may_list(config: ListsConfig) -> Callable[[Song, Song], bool]:
    """Return what says whether a query's list may hold a song, in words of the configuration."""

    def is_explicit(song: Song) -> bool:
        return config.explicit_unknown == "explicit" if song["explicit"] is None else song["explicit"]

    def may(query: Song, song: Song) -> bool:
        is_barred = config.explicit == "none" or (config.explicit == "clean_for_clean" and not is_explicit(query))
        if is_barred and is_explicit(song):
            return False
        for flag in config.exclude_flags:
            if flag in song["flags"] and (flag in ("live", "remix") or flag not in query["flags"]):
                return False
        bars_years = config.years_apart >= 0 and query["year"] is not None
        if bars_years and (song["year"] is None or abs(song["year"] - query["year"]) > config.years_apart):
            return False
        if config.same and song["language"] != query["language"]:
            return False
        return not (config.exclude and song["is_excluded"])

    return may


@st.composite
def cases(draw: st.DrawFn, *, max_songs: int = 160) -> Case:
    """Songs whose groups lie within each other: works within albums, albums within artists."""
    n, seed = draw(st.integers(2, max_songs)), draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, draw(st.sampled_from([2, 8]))))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    copies = rng.integers(0, n, draw(st.sampled_from([0, n // 3])))
    vectors[rng.permutation(n)[: len(copies)]] = vectors[copies]
    keys = np.sort(rng.choice(10**6, n, replace=False)) - 500_000
    artist = rng.integers(0, draw(st.integers(1, 12)), n)
    album, work = artist * 10 + rng.integers(0, 3, n), rng.integers(0, draw(st.sampled_from([2, 50])), n)
    songs: list[Song] = []
    for i, key in enumerate(keys.tolist()):
        has_artist = bool(artist[i] % 5)
        songs.append(
            {
                "key": key,
                "work": int(album[i] * 100 + work[i]),
                "album": int(album[i]) if has_artist else None,
                "artist": int(artist[i]) if has_artist else None,
                "explicit": [True, False, None][rng.integers(3)],
                "flags": [name for name in FLAGS if rng.random() < 0.15],
                "year": None if rng.random() < 0.2 else int(rng.integers(1990, 2003)),
                "language": LANGUAGES[rng.integers(3)],
                "is_excluded": bool(rng.random() < 0.1),
            }
        )
    config = ListsConfig(
        max_per_artist=draw(st.sampled_from([1, 2, 3, 1000])),
        max_own_artist=draw(st.sampled_from([0, 1, 2, 1000])),
        max_per_album=draw(st.sampled_from([1, 2, 1000])),
        one_per_work=draw(st.booleans()),
        one_per_recording=False,
        explicit=draw(st.sampled_from(["any", "clean_for_clean", "none"])),
        explicit_unknown=draw(st.sampled_from(["clean", "explicit"])),
        years_apart=draw(st.sampled_from([-1, 0, 5])),
        exclude_flags=tuple(draw(st.sets(st.sampled_from(sorted(FLAGS))))),
        same=draw(st.sampled_from([(), ("language",)])),
        exclude=draw(st.sampled_from(["", "a file"])),
    )
    facts = np.array([facts_of(song, config) for song in songs], dtype=np.int64)
    return Case(songs, Items(keys, facts, vectors), config, draw(st.integers(1, 8)))


def facts_of(song: Song, config: ListsConfig) -> list[int]:
    explicit = config.explicit_unknown == "explicit" if song["explicit"] is None else song["explicit"]
    traits = sum(FLAGS[name] for name in song["flags"]) + EXPLICIT * explicit
    traits += EXCLUDED * bool(config.exclude and song["is_excluded"])
    known = {
        "work_key": song["work"],
        "track_key": song["key"],
        "album_key": NO_GROUP if song["album"] is None else song["album"],
        "artist_key": NO_GROUP if song["artist"] is None else song["artist"],
        "traits": traits & (config.always_barred | config.barred_unless_own),
        "release_year": UNKNOWN_YEAR if song["year"] is None else song["year"],
        "same_key": LANGUAGES.index(song["language"]),
    }
    return [known[name] for name in config.facts]


def as_pairs(lists: Lists) -> list[list[tuple[int, float]]]:
    return [
        [(int(key), float(score)) for key, score in zip(keys, scores, strict=True) if not np.isnan(score)]
        for keys, scores in zip(lists.keys, lists.scores, strict=True)
    ]


@given(cases())
@settings(max_examples=150, deadline=None)
def test_lists_are_those_of_a_search_by_hand(case: Case) -> None:
    found = exact_nearest(case.items, case.items, k=case.k, rules=case.rules, space=COSINE)
    assert as_pairs(found) == case.by_hand()


@given(cases(), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_order_in_which_candidates_come_decides_nothing(case: Case, n_shares: int, seed: int) -> None:
    rng, n = np.random.default_rng(seed), len(case.items)
    frame = fit_frame(case.items.vectors.astype(np.float32), COSINE)
    search = Search(case.items, k=case.k, rules=case.rules, frame=frame)
    several = []
    for share in np.array_split(rng.permutation(n), n_shares):
        if len(share):
            candidates, rows = as_candidates(case.items.take(share), frame), rng.permutation(n)
            whole = np.array([0]), np.array([len(share)]), np.array([0, n]), rows
            # What is met again is listed once.
            for _ in range(1 + int(rng.random() < 0.3)):
                search.meet(candidates, Meetings(*whole))
            several.append(
                exact_nearest(case.items, case.items.take(share), k=case.k, rules=case.rules, space=COSINE)
            )
    expected = case.by_hand()
    assert as_pairs(search.lists()) == expected
    assert as_pairs(merge_lists(several, case.items.facts, k=case.k, rules=case.rules)) == expected


@given(cases(max_songs=60))
@settings(max_examples=60, deadline=None)
def test_the_reach_is_that_of_the_last_place(case: Case) -> None:
    points = COSINE.as_found(case.items.vectors.astype(np.float32))
    for i, pairs in enumerate(case.by_hand()):
        reach = reach_within(points[i], case.items.facts[i], points, case.items.facts, k=case.k, rules=case.rules)
        if len(pairs) < case.k:
            assert reach == np.inf
        else:
            assert reach == pytest.approx(np.sqrt(max(0.0, 2 - 2 * pairs[-1][1])), abs=3e-3)


@given(cases(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_what_breaks_a_rule_is_seen(case: Case, seed: int) -> None:
    """Lists by the rules break none; of random lists those are seen that a loop over their places finds."""
    rng, (rules, facts) = np.random.default_rng(seed), (case.rules, case.items.facts)
    row_of = {song["key"]: i for i, song in enumerate(case.songs)}
    good = [[row_of[key] for key, _ in pairs] for pairs in case.by_hand()]
    bad = [rng.permutation(len(facts))[: case.k].tolist() for _ in good]
    for lists in (good, bad):
        starts = np.cumsum([0, *map(len, lists)])
        places = np.array([i for each in lists for i in each], dtype=np.int64)
        too_many, barred = find_broken(rules, starts, facts[places], facts)
        may = may_list(case.config)
        for i, each in enumerate(lists):
            # A song is barred from its own list as one of its own group, of which none may be there.
            own = [j for j in each if facts[j, 0] == facts[i, 0]]
            own += [j for j in each if is_own_and_barred(rules, facts[i], facts[j])]
            assert barred[i] == bool(own or not all(may(case.songs[i], case.songs[j]) for j in each))
            assert too_many[i] == any(is_over(rules, facts[i], facts[each], g) for g in range(rules.n_groups))
        assert lists is bad or not (too_many.any() or barred.any())


def is_own_and_barred(rules: ListRules, own: np.ndarray, song: np.ndarray) -> bool:
    return any(of_own == 0 and song[g] == own[g] != NO_GROUP for g, (_, of_own) in enumerate(rules.limits))


def is_over(rules: ListRules, own: np.ndarray, places: np.ndarray, group: int) -> bool:
    values, counts = np.unique(places[:, group], return_counts=True)
    most, of_own = rules.limits[group]
    return any(
        n > (of_own if value == own[group] else most)
        for value, n in zip(values.tolist(), counts.tolist(), strict=True)
        if value != NO_GROUP
    )


@given(cases(), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_who_makes_room_leaves_a_list_that_keeps_the_rules(case: Case, seed: int) -> None:
    rng, (rules, facts) = np.random.default_rng(seed), (case.rules, case.items.facts)
    row_of = {song["key"]: i for i, song in enumerate(case.songs)}
    lists = [[row_of[key] for key, _ in pairs] for pairs in case.by_hand()]
    starts = np.cumsum([0, *map(len, lists)])
    places = np.array([i for each in lists for i in each], dtype=np.int64)
    guests, rows = rng.integers(0, len(facts), 40), rng.integers(0, len(facts), 40)
    taken = make_room(rules, starts, facts[places], facts, facts[guests], rows=rows, k=case.k)
    for guest, row, place in zip(guests.tolist(), rows.tolist(), taken.tolist(), strict=True):
        if guest in lists[row]:
            continue
        left = [other for i, other in enumerate(lists[row]) if starts[row] + i != place]
        after = facts[[*left, guest]]
        breaks = find_broken(rules, np.array([0, len(after)]), after, facts[[row]]).any()
        assert (place == REFUSED) == breaks
        if place == ROOM:
            assert len(left) < case.k


def test_where_groups_cross_the_rules_are_kept_and_no_list_shrinks() -> None:
    """A work on two albums: a newcomer for whom two songs would have to go stays out, and others come in."""
    rng, n, k = np.random.default_rng(0), 400, 8
    rules = ListRules(((1, 0), (1, 1), (2, 1)))
    facts = np.column_stack([rng.integers(0, 60, n), rng.integers(0, 30, n), rng.integers(0, 9, n)])
    vectors = rng.standard_normal((n, 6)).astype(np.float16)
    items = Items(np.arange(n), facts, vectors)
    found = exact_nearest(items, items, k=k, rules=rules, space=COSINE)
    assert (found.keys >= 0).all()
    starts = np.arange(n + 1) * k
    assert not find_broken(rules, starts, facts[found.keys.ravel()], facts).any()
    # What a greedy choice lists is hardly ever better.
    order = np.argsort(-scores_by_hand(vectors, "cosine"), axis=1, kind="stable")
    greedy = np.stack(
        [choose(rules, np.array([0, n]), facts[row], facts[[i]], k=k)[0] for i, row in enumerate(order)]
    )
    best = np.take_along_axis(order, np.where(greedy == NO_CANDIDATE, 0, greedy), axis=1)
    assert np.mean([len({*a} & {*b}) / k for a, b in zip(best.tolist(), found.keys.tolist(), strict=True)]) > 0.9


def test_a_million_songs_of_one_artist_make_short_lists_in_one_pass() -> None:
    """What bars nearly all of a catalog costs a look at each pair, and lists are as short as they must."""
    n, rng = 1_000_000, np.random.default_rng(1)
    vectors = rng.standard_normal((n, 4)).astype(np.float16)
    facts = np.column_stack([np.arange(n), np.full(n, 7)])
    items = Items(np.arange(n), facts, vectors)
    queries = items.take(slice(0, 20))
    found = exact_nearest(queries, items, k=10, rules=ListRules(((1, 0), (2, 1))), space=COSINE)
    assert ((found.keys >= 0).sum(axis=1) == 1).all()
    best = scores_by_hand(queries.vectors, "cosine", among=vectors)
    best[np.arange(20), np.arange(20)] = -2
    np.testing.assert_allclose(found.scores[:, 0], best.max(axis=1), atol=1e-6)


def test_no_rules_bar_nothing_but_the_song_itself() -> None:
    assert NO_RULES.facts == ("track_key",)
    assert make_rules(NO_RULES) == ListRules()


def test_the_default_rules_need_three_facts() -> None:
    assert ListsConfig().facts == ("work_key", "artist_key", "traits")
    assert make_rules(ListsConfig()).limits == ((1, 0), (2, 1))

"""Why lists are short, against counts by hand; the same from however many shares of the catalog."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.config_lists import NO_RULES, ListsConfig
from musicrec.lists.short import OTHER_SONGS, TOGETHER, Tally, add_tallies, find_reasons, tally_facts
from musicrec.neighbors.search.rules import ListRules, choose, make_rules
from tests.neighbors.search.test_rules import Case, cases, facts_of, may_list

K = 5


def reasons_of(facts: np.ndarray, config: ListsConfig, *, k: int, n_shares: int = 1) -> list[str]:
    rules = make_rules(config)
    shares = [tally_facts(share, rules, k=k) for share in np.array_split(facts, n_shares)]
    tallies = [
        add_tallies([share[i] for share in shares], most=k + 2 if i < rules.n_groups else 2**31)
        for i in range(rules.n_facts)
    ]
    return find_reasons(facts, tallies, n_songs=len(facts), settings=config, rules=rules, k=k).to_pylist()


def alone(config: ListsConfig) -> dict[str, ListsConfig]:
    """Return configurations of one rule each, as `status` names them."""
    none = {
        "max_per_artist": 1000, "max_own_artist": 1000, "max_per_album": 1000, "one_per_work": False,
        "one_per_recording": False, "explicit": "any", "exclude_flags": (), "exclude": "", "years_apart": -1,
        "same": (),
    }  # fmt: skip
    kept = {
        "one_per_work": ("one_per_work",), "max_per_album": ("max_per_album",),
        "max_per_artist, max_own_artist": ("max_per_artist", "max_own_artist"), "explicit": ("explicit",),
        "exclude_flags": ("exclude_flags",), "exclude": ("exclude",), "years_apart": ("years_apart",),
        "same": ("same",),
    }  # fmt: skip
    return {
        name: config.model_copy(update={key: value for key, value in none.items() if key not in keys})
        for name, keys in kept.items()
    }


@given(cases(max_songs=40), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_reason_is_the_rule_that_leaves_fewest(case: Case, n_shares: int) -> None:
    facts, config = case.items.facts, case.config
    found = reasons_of(facts, config, k=case.k, n_shares=n_shares)
    n = len(case.songs)
    left_by = {name: left_by_hand(case, one) for name, one in alone(config).items()}
    for i, reason in enumerate(found):
        left = {name: counts[i] for name, counts in left_by.items()}
        fewest = min([n - 1, *left.values()])
        if fewest >= case.k:
            assert reason == TOGETHER
        elif reason == OTHER_SONGS:
            assert fewest == n - 1
        else:
            name, _, count = reason.partition(" leaves ")
            assert int(count) == fewest == left[name]


def left_by_hand(case: Case, config: ListsConfig) -> list[int]:
    """Return how long the lists would be if they had any number of places."""
    facts = np.array([facts_of(song, config) for song in case.songs], dtype=np.int64)
    may, left = may_list(config), []
    for i, query in enumerate(case.songs):
        candidates = [j for j, song in enumerate(case.songs) if j != i and may(query, song)]
        caps = ListRules(tuple(config.limits.values()))
        groups = facts[:, : caps.n_groups]
        starts = np.array([0, len(candidates)])
        chosen = choose(caps, starts, groups[candidates], groups[[i]], k=max(1, len(candidates)))
        left.append(int((chosen >= 0).sum()))
    return left


def test_a_million_songs_of_one_artist_leave_what_the_cap_says() -> None:
    n, config = 1_000_000, ListsConfig(max_own_artist=1, exclude_flags=())
    rules = make_rules(config)
    facts = np.column_stack([np.arange(n), np.full(n, 7)])
    tallies = [add_tallies([each], most=K + 2) for each in tally_facts(facts, rules, k=K)]
    assert max(len(each.values) for each in tallies) == K + 2
    found = find_reasons(facts[:3], tallies, n_songs=n, settings=config, rules=rules, k=K)
    assert found.to_pylist() == ["max_per_artist, max_own_artist leaves 1"] * 3


def test_songs_without_artist_leave_all() -> None:
    config = ListsConfig(exclude_flags=(), max_own_artist=0, max_per_artist=1)
    facts = np.column_stack([np.arange(4), np.full(4, -1)])
    assert reasons_of(facts, config, k=3) == [TOGETHER] * 4
    assert reasons_of(facts, config, k=4) == [OTHER_SONGS] * 4


def test_where_no_rule_bars_anything_there_are_no_more_songs() -> None:
    assert reasons_of(np.arange(3)[:, None], NO_RULES, k=3) == [OTHER_SONGS] * 3


def test_an_unknown_value_is_counted_as_none() -> None:
    assert Tally(np.array([3, 5]), np.array([1, 2])).of(np.array([5, 4, 9, 3])).tolist() == [2, 0, 0, 1]

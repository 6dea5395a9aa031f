"""Items of songs with equal vectors: apart where their facts differ, as long as these are few."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.same_vectors import MAX_BARS, MAX_FACTS, facts_of_items, split_items
from musicrec.traits import MIXED, NO_GROUP

# A work, an artist, traits and a year.
RULES = ListRules(((1, 0), (2, 1)), bars=True, always=8, unless_own=4, years_apart=5)


def items_of(vectors: np.ndarray, facts: np.ndarray, rules: ListRules = RULES) -> tuple[np.ndarray, np.ndarray]:
    """Return the item of each song, and the facts of each item."""
    items, wholes = split_items(vectors, facts, rules)
    assert np.array_equal(wholes[items], vectors)
    order = np.argsort(items, kind="stable")
    starts = np.searchsorted(items[order], np.arange(len(wholes)))
    return items, facts_of_items(facts[order], starts, 10**9 + np.arange(len(wholes)), rules)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 5), min_size=1, max_size=50))
@settings(deadline=None)
def test_few_facts_are_items_of_their_own(rows: list[tuple[int, ...]]) -> None:
    table = np.array(rows, dtype=np.int64)
    _, vectors = np.unique(table[:, 0], return_inverse=True)
    items, facts = items_of(vectors, table[:, 1:])
    assert len(facts) == len({*rows})
    assert np.array_equal(facts[items], table[:, 1:])


def test_many_facts_are_told_apart_by_what_bars_songs() -> None:
    n = 5000
    facts = np.column_stack([np.arange(n), np.arange(n) % 900, 4 * (np.arange(n) % 2), 1990 + np.arange(n) % 30])
    items, found = items_of(np.zeros(n, dtype=np.int64), facts)
    assert len(found) == 30
    # They may be in lists by what bars them, and in no group but their own.
    assert np.array_equal(found[items][:, 2:], facts[:, 2:])
    assert (found[:, 0] >= 10**9).all()
    assert (found[:, 1] == NO_GROUP).all()


def test_a_million_equal_songs_are_few_items_whatever_their_facts() -> None:
    n = 1_000_000
    rng = np.random.default_rng(2)
    facts = np.column_stack([np.arange(n), np.full(n, 7), np.zeros(n, int), rng.integers(0, 2**40, n)])
    items, found = items_of(np.zeros(n, dtype=np.int64), facts)
    assert (items == 0).all()
    # All are by one artist, of whom a list holds few; nothing else is known of them.
    assert found[0, 1] == 7
    assert found[0, 2] == MIXED
    facts[:, 3] = rng.integers(0, MAX_BARS, n)
    assert len(items_of(np.zeros(n, dtype=np.int64), facts)[1]) == MAX_BARS


def test_of_one_group_alone_nothing_is_split() -> None:
    facts = np.array([[5], [5], [6], [7]])
    items, found = items_of(np.array([0, 0, 1, 1]), facts, ListRules())
    assert items.tolist() == [0, 0, 1, 1]
    assert found.tolist() == [[5], [10**9 + 1]]
    assert MAX_FACTS > 1

"""Candidates → lists, and which songs of an item a list can hold, against loops by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.lists.members import is_listed
from musicrec.lists.nearest import SongRows, choose_songs, sort_candidates
from musicrec.neighbors.search.rules import ListRules


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_lists_are_those_of_a_loop(seed: int, n_rows: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, n_rows)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    songs, recordings = rng.integers(0, 50, starts[-1]), rng.integers(0, 6, starts[-1])
    scores = rng.choice(np.linspace(-1, 1, 4), starts[-1]).astype(np.float32)
    for column in (songs, recordings, scores):
        # As Arrow hands them over.
        column.setflags(write=False)
    candidates, ordered = sort_candidates(SongRows(starts, songs, recordings[:, None]), scores)
    rows, own = rng.integers(0, n_rows, 7), rng.integers(0, 6, 7)
    found = choose_songs(candidates, ordered, rows=rows, facts=own[:, None], k=k, rules=ListRules())
    for song in range(7):
        here = range(starts[rows[song]], starts[rows[song] + 1])
        seen, expected = {own[song]}, []
        for _, other, i in sorted((-scores[i], songs[i], i) for i in here):
            if recordings[i] not in seen and len(expected) < k:
                seen.add(recordings[i])
                expected.append((other, scores[i]))
        n = len(expected)
        assert list(zip(found.places[song, :n], found.scores[song, :n], strict=True)) == expected
        assert (found.places[song, n:] == -1).all()
        assert np.isnan(found.scores[song, n:]).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=40), st.integers(1, 4))
def test_a_list_can_hold_the_first_of_a_few_recordings(rows: list[tuple[int, int]], k: int) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    items, recordings = np.array(rows).T
    starts = np.append(np.unique(items, return_index=True)[1], len(items))
    found = is_listed(starts, recordings[:, None], k=k, rules=ListRules())
    seen: dict[int, list[int]] = {}
    for (item, recording), listed in zip(rows, found, strict=True):
        held = seen.setdefault(item, [])
        expected = recording not in held and len(held) <= k
        assert listed == expected
        if recording not in held:
            held.append(recording)

"""Places for forgotten songs: small cases by hand, and promises on random lists, whatever shares they come in."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.lists.places import (
    Offers,
    SongLists,
    add_counts,
    as_histogram,
    best_offers,
    changed_histogram,
    choose_places,
    count_changes,
    count_places,
    find_offers,
    find_wishes,
    measure_occurrence,
)
from musicrec.neighbors.search.rules import ListRules

RECORDINGS = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "e2": 5, "f": 6, "g": 7}
NAMES = list(RECORDINGS)


def make_lists(songs, recordings, lists) -> SongLists:
    """`lists`: for each song its (score, song) by rank."""
    places = [place for one in lists for place in one]
    return SongLists(
        np.array(songs, dtype=np.int64),
        np.array([[recordings[song]] for song in songs], dtype=np.int64).reshape(-1, 1),
        np.cumsum([0, *map(len, lists)]),
        np.array([song for _, song in places], dtype=np.int64),
        np.array([[recordings[song]] for _, song in places], dtype=np.int64).reshape(-1, 1),
        np.array([score for score, _ in places], dtype=np.float32),
    )


def taken(lists: SongLists, songs) -> SongLists:
    """Return the lists of some songs that have one, rising."""
    rows = np.flatnonzero(np.isin(lists.songs, songs))
    rows = rows[np.argsort(lists.songs[rows])]
    cuts = [slice(*lists.starts[row : row + 2]) for row in rows]
    joined = (
        np.concatenate([getattr(lists, name)[:0], *[getattr(lists, name)[cut] for cut in cuts]])
        for name in ("places", "place_facts", "scores")
    )
    starts = np.concatenate([[0], np.cumsum(np.diff(lists.starts)[rows])])
    return SongLists(lists.songs[rows], lists.facts[rows], starts, *joined)


def find(lists: SongLists, *, k: int, n_shares: int = 1, reduce=best_offers):
    """Return counts, offers and what is chosen, as tasks and driver find them."""
    cuts = np.array_split(lists.songs, n_shares)
    shares = [taken(lists, cut) for cut in cuts]
    counts = add_counts([count_places(share.songs, share.places) for share in shares])
    forgotten = counts.songs[counts.n_lists == 0]
    found = []
    for share in shares:
        wishes = find_wishes(share, forgotten)
        found.append(reduce(find_offers(wishes, taken(lists, wishes.hosts), k=k, rules=ListRules())))
    names = Offers.__dataclass_fields__
    offers = reduce(Offers(*(np.concatenate([getattr(each, name) for each in found]) for name in names)))
    return counts, offers, offers.take(choose_places(offers, counts.of(offers.removed)))


def applied(lists: dict, chosen: Offers) -> dict:
    """Return the lists (score, song) by rank after spreading."""
    spread = {song: list(places) for song, places in lists.items()}
    for row in range(len(chosen.guests)):
        host = spread[int(chosen.hosts[row])]
        if not chosen.has_room[row]:
            held = [song for _, song in host]
            del host[held.index(int(chosen.removed[row]))]
        host.append((float(chosen.scores[row]), int(chosen.guests[row])))
        host.sort(key=lambda place: -place[0])
    return spread


def placed(chosen: Offers) -> set[tuple]:
    return set(zip(*(getattr(chosen, name).tolist() for name in Offers.__dataclass_fields__), strict=True))


def spread(named: dict[str, list[tuple[float, str]]], *, k: int) -> dict[str, list[str]]:
    number = {name: i for i, name in enumerate(NAMES)}
    lists = {number[song]: [(score, number[o]) for score, o in places] for song, places in named.items()}
    recordings = [RECORDINGS[name] for name in NAMES]
    _, _, chosen = find(make_lists([*lists], recordings, [*lists.values()]), k=k)
    found = applied(lists, chosen)
    return {NAMES[song]: [NAMES[other] for _, other in places] for song, places in found.items()}


def test_a_forgotten_song_gets_the_last_place_of_its_nearest() -> None:
    lists = {
        "a": [(0.9, "b"), (0.8, "c")],
        "b": [(0.9, "a"), (0.7, "c")],
        "c": [(0.8, "a"), (0.7, "b")],
        "d": [(0.5, "b"), (0.4, "a")],
    }
    # b loses c, which a still holds; everything else stays.
    assert spread(lists, k=2) == {"a": ["b", "c"], "b": ["a", "d"], "c": ["a", "b"], "d": ["b", "a"]}


def test_a_list_with_room_loses_nothing() -> None:
    lists = {"a": [(0.9, "b")], "b": [(0.9, "a")], "d": [(0.5, "b")]}
    assert spread(lists, k=2) == {"a": ["b"], "b": ["a", "d"], "d": ["b"]}


def test_the_only_list_that_holds_a_song_keeps_it() -> None:
    # Whatever list d asks for a place would forget another song for it.
    lists = {"a": [(0.9, "b")], "b": [(0.8, "c")], "c": [(0.8, "a")], "d": [(0.5, "a")]}
    assert spread(lists, k=1) == {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}


def test_two_lists_do_not_both_drop_a_song_that_stands_in_two() -> None:
    lists = {
        "a": [(0.9, "b"), (0.8, "c")],
        "b": [(0.9, "a"), (0.7, "c")],
        "c": [(0.8, "a"), (0.7, "b")],
        "d": [(0.5, "a"), (0.4, "b")],
        "f": [(0.6, "b"), (0.4, "a")],
    }
    found = spread(lists, k=2)
    listed = {other for places in found.values() for other in places}
    assert {"a", "b", "c"} <= listed
    assert len({"d", "f"} & listed) == 1


def test_another_release_takes_the_place_of_its_recording() -> None:
    lists = {
        "a": [(0.9, "e"), (0.8, "b")],
        "b": [(0.9, "a"), (0.7, "e")],
        "e": [(0.9, "a"), (0.7, "b")],
        "e2": [(0.85, "a"), (0.6, "b")],
    }
    found = spread(lists, k=2)
    assert found["a"] == ["e2", "b"]
    assert all(len({RECORDINGS[o] for o in places}) == len(places) for places in found.values())


def random_lists(n: int, k: int, *, n_recordings: int, dim: int, rng: np.random.Generator) -> tuple[dict, dict]:
    """Return (score, key) by rank of each song, and each one's recording: in a list once, its own never."""
    points = rng.standard_normal((n, dim)) + 1
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    scores = (unit @ unit.T).astype(np.float32)
    # Keys are hashes, of either sign.
    keys = rng.permutation(np.arange(-n, n, 2)).tolist()
    recording = rng.integers(0, n_recordings, n)
    lists = {}
    for i, key in enumerate(keys):
        seen, places = {recording[i]}, []
        for j in np.argsort(-scores[i], kind="stable"):
            if recording[j] not in seen and len(places) < k:
                seen.add(recording[j])
                places.append((float(scores[i, j]), keys[j]))
        lists[key] = places
    return lists, dict(zip(keys, recording.tolist(), strict=True))


@given(
    st.integers(2, 60), st.integers(1, 6), st.sampled_from([0.3, 1, 20]), st.integers(1, 4), st.integers(0, 10_000)
)
@settings(max_examples=80, deadline=None)
def test_promises_hold_whatever_the_shares(n: int, k: int, releases: float, n_shares: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lists, recordings = random_lists(n, k, n_recordings=max(2, int(n * releases)), dim=6, rng=rng)
    # Some songs have no list but stand in others', some lists are short, some scores are equal.
    lists = {
        song: [(round(score, 1), other) for score, other in places[: rng.integers(0, k + 2)]]
        for song, places in lists.items()
        if rng.random() < 0.9
    }
    songs = sorted({*lists} | {other for places in lists.values() for _, other in places})
    shuffled = rng.permutation(np.array(list(lists), dtype=np.int64)).tolist()
    whole = make_lists(shuffled, recordings, [lists[song] for song in shuffled])
    counts, offers, chosen = find(whole, k=k, n_shares=n_shares)
    # Offers that are left out could not be chosen, and to a host come no more than its list has places, and one.
    _, all_offers, chosen_of_all = find(whole, k=k, reduce=lambda offers: offers)
    assert placed(chosen) == placed(chosen_of_all)
    assert placed(offers) <= placed(all_offers)
    for host, n_offers in zip(*np.unique(offers.hosts, return_counts=True), strict=True):
        assert n_offers <= len(lists[int(host)]) + 1

    after = applied(lists, chosen)
    before_count, after_count = (
        {song: sum(song == other for places in each.values() for _, other in places) for song in songs}
        for each in (lists, after)
    )
    assert dict(zip(counts.songs.tolist(), counts.n_lists.tolist(), strict=True)) == before_count
    for song, places in after.items():
        others = [other for _, other in places]
        of = [recordings[other] for other in others]
        assert len({*of, recordings[song]}) == len(of) + 1
        assert len(places) <= max(k, len(lists[song]))
        assert len(set(others) - {other for _, other in lists[song]}) <= 1
    # Who was listed still is; a guest comes into one list.
    assert all(after_count[song] for song, count in before_count.items() if count)
    assert all(after_count[song] <= 1 for song, count in before_count.items() if not count)
    changes = count_changes(chosen)
    assert dict(zip(changes.songs.tolist(), changes.n_lists.tolist(), strict=True)) == {
        song: after_count[song] - before_count[song] for song in songs if after_count[song] != before_count[song]
    }
    histogram = changed_histogram(
        as_histogram(counts.n_lists),
        before=counts.of(changes.songs),
        after=counts.of(changes.songs) + changes.n_lists,
    )
    # Some songs more have no list and stand in none.
    found = measure_occurrence(histogram, n_songs=n + 3)
    numbers = np.zeros(n + 3, dtype=int)
    numbers[: len(songs)] = list(after_count.values())
    assert found.forgotten_share == pytest.approx((numbers == 0).mean())
    expected = scipy.stats.skew(numbers) if numbers.std() else 0.0
    assert found.skewness == pytest.approx(expected, abs=1e-6)


def test_hardly_a_song_is_forgotten() -> None:
    lists, recordings = random_lists(400, 5, n_recordings=400_000, dim=12, rng=np.random.default_rng(0))
    counts, _, chosen = find(make_lists([*lists], recordings, [*lists.values()]), k=5)
    n_forgotten = int((counts.n_lists == 0).sum())
    assert n_forgotten > 4
    assert len(chosen.guests) > 0.75 * n_forgotten

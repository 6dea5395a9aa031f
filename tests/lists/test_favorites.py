"""Listeners' lists by agreement, against what each claim says."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec import schemas
from musicrec.catalog.hashes import hash_texts
from musicrec.lists.favorite_tasks import FuseSettings, draw_users, fuse_rows
from musicrec.lists.fusion import Favorites, fuse
from musicrec.lists.list_files import ListFiles
from musicrec.lists.nearest import Places
from musicrec.neighbors.search.rules import ListRules
from tests.made import make_lists, make_numbered

LISTS = {
    "a": ["x", "y", "b"],
    "b": ["y", "z", "a"],
    "c": ["w"],
    "r": ["x2", "x"],
}
RECORDING = {"x": 1, "x2": 1, "y": 2, "z": 3, "w": 4, "a": 5, "b": 6, "c": 7, "r": 8, "a2": 5}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> ListFiles:
    directory = tmp_path_factory.mktemp("lists")
    keys = hash_texts(pa.array(list(RECORDING))).tolist()
    numbered = make_numbered(directory, list(RECORDING), keys=keys, facts=list(RECORDING.values()), n_ranges=3)
    scored = {name: [(other, 0.9 - r / 10) for r, other in enumerate(others)] for name, others in LISTS.items()}
    return make_lists(directory, numbered, scored, k=3)


def listen(lists: ListFiles, pairs: list[tuple[str, str]], *, k: int = 10) -> pd.DataFrame:
    users, ids = (pa.array(column, type=pa.string()) for column in zip(*pairs, strict=True))
    songs = lists.numbered.of_ids(ids, hash_texts(ids))
    table = pa.table([users, ids, pa.array(songs)], names=schemas.FAVORITES.names)
    asked = FuseSettings(lists, k=k, rank_constant=60, rules=ListRules())
    counts, rows = fuse_rows(table, asked)
    assert rows.schema.names == schemas.USER_RECOMMENDATIONS.names
    assert counts["n_users"] == len({user for user, _ in pairs})
    assert counts["n_favorites"] == len(set(pairs))
    assert counts["n_unknown"] == sum(song not in RECORDING for _, song in set(pairs))
    return rows.to_pandas()


@pytest.fixture(scope="module")
def found(lists: ListFiles) -> pd.DataFrame:
    """Lists of listeners, each of one claim; nobody's depends on another's."""
    listeners = {
        "agrees": ["a", "b"],
        "knows": ["a", "nowhere"],
        "knows nothing": ["nowhere", "elsewhere"],
        "twice": ["a", "a"],
        "once": ["a"],
        "releases": ["r"],
        "owns a release": ["b", "a2"],
    }
    return listen(lists, [(user, song) for user, songs in listeners.items() for song in songs])


def of(found: pd.DataFrame, user: str) -> pd.DataFrame:
    return found[found["user_id"] == user].drop(columns="user_id").reset_index(drop=True)


def test_agreement_beats_rank_and_favorites_are_left_out(found: pd.DataFrame) -> None:
    rows = of(found, "agrees")
    assert rows["track_id"].tolist() == ["y", "x", "z"]
    assert rows["rank"].tolist() == [1, 2, 3]
    assert rows["because_of"].tolist() == ["b", "a", "b"]
    expected = [(61 / 62 + 1) / 2, 1 / 2, 61 / 62 / 2]
    assert rows["score"].tolist() == pytest.approx(expected, abs=1e-6)


def test_unknown_ids_are_not_fatal(found: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(of(found, "knows"), of(found, "once"))
    assert of(found, "knows nothing").empty


def test_a_favorite_counts_once(found: pd.DataFrame) -> None:
    assert not of(found, "once").empty
    pd.testing.assert_frame_equal(of(found, "twice"), of(found, "once"))


def test_a_recording_is_listed_once_and_never_one_that_is_owned(found: pd.DataFrame) -> None:
    assert of(found, "releases")["track_id"].tolist() == ["x2"]
    assert of(found, "owns a release")["track_id"].tolist() == ["y", "z"]


def test_lists_come_by_listener_and_rank(found: pd.DataFrame) -> None:
    assert found[["user_id", "rank"]].apply(tuple, axis=1).is_monotonic_increasing


def test_cut_to_k_by_score_then_id(lists: ListFiles) -> None:
    found = listen(lists, [("u", "a"), ("u", "c")], k=2)
    assert found["track_id"].tolist() == ["w", "x"]
    assert found["score"].nunique() == 1


def fused_by_hand(
    favorites: dict[int, list[int]], lists: np.ndarray, recordings: np.ndarray, *, k: int, constant: int
) -> dict[int, list[tuple[int, float, int]]]:
    found = {}
    for listener, songs in favorites.items():
        votes: dict[int, list[tuple[int, int]]] = {}
        for song in sorted(songs):
            for rank, other in enumerate(lists[song], start=1):
                if other >= 0:
                    votes.setdefault(int(other), []).append((rank, song))
        shares = {o: sum(round(1e9 * (constant + 1) / (constant + r)) for r, _ in v) for o, v in votes.items()}
        seen = {recordings[song] for song in songs}
        places = []
        for other in sorted(votes, key=lambda o: (-shares[o], o)):
            if recordings[other] not in seen and len(places) < k:
                seen.add(recordings[other])
                places.append((other, shares[other] / 1e9 / len(songs), min(votes[other])[1]))
        found[listener] = places
    return found


@given(
    st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 10, 60])
)
@settings(max_examples=80, deadline=None)
def test_fusing_is_what_it_is_by_hand(seed: int, n: int, width: int, k: int, constant: int) -> None:
    rng = np.random.default_rng(seed)
    recordings = rng.integers(0, max(2, n // 2), n)
    lists = np.full((n, width), -1, dtype=np.int32)
    for song in range(n):
        others = rng.permutation([o for o in range(n) if o != song])[: rng.integers(0, width + 1)]
        lists[song, : len(others)] = others
    favorites = {i: sorted(rng.choice(n, rng.integers(0, min(n, 6) + 1), replace=False)) for i in range(4)}
    check_fusing(favorites, lists, recordings, k=k, constant=constant)


def test_a_great_listener_gets_what_it_is_by_hand() -> None:
    """Of 3,000 songs one listener has 2,500, which list each other: hardly any is left, and nothing is cut."""
    rng, n = np.random.default_rng(4), 3000
    lists = np.array([rng.choice(n, 10, replace=False) for _ in range(n)], dtype=np.int32)
    favorites = {0: [], 1: sorted(rng.choice(n, 2500, replace=False)), 2: [5, 6]}
    check_fusing(favorites, lists, np.arange(n) // 3, k=1000, constant=60)


def check_fusing(
    favorites: dict[int, list[int]], lists: np.ndarray, recordings: np.ndarray, *, k: int, constant: int
) -> None:
    songs = np.array([song for each in favorites.values() for song in each], dtype=np.int64)
    starts = np.cumsum([0, *map(len, favorites.values())])
    rows = lists[songs]
    of_rows = np.where(rows >= 0, recordings[rows], -1)
    fused = fuse(
        Favorites(starts, songs, recordings[songs, None]), Places(rows, rows.astype(np.float32)),
        of_rows[:, :, None], k=k, rank_constant=constant, rules=ListRules(),
    )  # fmt: skip
    expected = fused_by_hand(favorites, lists, recordings, k=k, constant=constant)
    for listener, places in expected.items():
        here = np.flatnonzero(fused.listeners == listener)
        assert fused.ranks[here].tolist() == list(range(1, len(places) + 1))
        assert list(zip(fused.songs[here].tolist(), fused.because_of[here].tolist(), strict=True)) == [
            (song, because) for song, _, because in places
        ]
        np.testing.assert_allclose(fused.scores[here], [score for _, score, _ in places], atol=1e-6)


def test_the_draw_of_several_draws_is_that_of_all() -> None:
    rng = np.random.default_rng(1)
    users = np.array([f"u{i}" for i in rng.integers(0, 9000, 20_000)])
    keys = np.array([hash(user) for user in users.tolist()])
    whole, of_whole = draw_users(pa.array(users), keys)
    halves = [draw_users(pa.array(users[some]), keys[some]) for some in (slice(0, 7000), slice(7000, None))]
    again, of_again = draw_users(
        *(pa.concat_arrays([half[0] for half in halves]), np.concatenate([half[1] for half in halves]))
    )
    assert whole.to_pylist() == again.to_pylist()
    assert len(set(whole.to_pylist())) == len(whole) == 2000
    assert of_whole.tolist() == of_again.tolist()

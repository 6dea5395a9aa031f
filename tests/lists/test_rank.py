"""Lists of songs that share an item: as by hand, and a few at a time, however many share it."""

from pathlib import Path

import numpy as np
import pytest

from musicrec.lists import rank_tasks
from musicrec.lists.members import Members
from musicrec.lists.nearest import SongRows
from musicrec.lists.rank_tasks import RankSettings, rank_items
from musicrec.neighbors.search.rules import ListRules
from musicrec.storage.array_files import ArrayFiles
from tests.made import make_numbered
from tests.roots import as_store

N, K = 1000, 3


def test_songs_of_one_item_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_tasks, "CHUNK_SONGS", 64)
    numbered = make_numbered(tmp_path, [f"{i:04d}" for i in range(N)], keys=range(N), facts=range(N))
    files, songs, first = ArrayFiles(as_store(tmp_path / "members")), np.arange(N), np.arange(K + 1)
    files.write(
        0, items=np.array([0]), self_scores=np.array([0.5], dtype=np.float32), starts=np.array([0, N]),
        songs=songs, facts=songs[:, None], listed_starts=np.array([0, K + 1]), listed=first,
        listed_facts=first[:, None],
    )  # fmt: skip
    settings = RankSettings(K, numbered, ListRules(), Members(files, frozenset([0]), numbered))
    nobody = SongRows(np.array([0, 0]), np.empty(0, dtype=np.int64), np.empty((0, 1), dtype=np.int64))
    found = list(rank_items(songs[:1], songs[:1, None], nobody, np.empty(0, dtype=np.float32), settings))
    assert max(len(each.songs) for each in found) == 64
    assert np.concatenate([each.songs for each in found]).tolist() == songs.tolist()
    lists = np.concatenate([each.found.places for each in found]).tolist()
    assert lists == [[other for other in first.tolist() if other != song][:K] for song in songs.tolist()]
    assert (np.concatenate([each.found.scores for each in found]) == 0.5).all()

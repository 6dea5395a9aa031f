"""Playlist co-occurrence beside the encoder, for songs that playlists know.

Half of the playlists are given, the other half judges. Songs that stand together in given playlists are near
(item-based collaborative filtering, Sarwar et al. 2001). It needs playlists of the very songs, the encoder only
playlists of other artists'.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from musicrec.arrays import Bools, is_drawn
from musicrec.encoder import labels
from musicrec.encoder.sample import PLAYLIST, Songs
from musicrec.measures.retrieval import Collection, ListMeasures, Scorer, answer

COOCCURRENCE = "playlist co-occurrence"
GIVEN_SHARE, GIVEN_SEED = 0.5, 31


def evaluate_known(songs: Songs, methods: dict[str, Scorer], *, test: Bools, k: int) -> dict[str, ListMeasures]:
    """Return how co-occurrence and the given methods answer the held-out songs of given playlists.

    Parameters
    ----------
    songs : Songs
        Nothing comes back where no playlists judge.
    methods : dict
        Scorers of the songs of the test, which take any rows.
    test : bool array, shape (n,)
        The songs held out.
    k : int
    """
    if songs.judged_by != PLAYLIST:
        return {}
    position = np.cumsum(test) - 1
    inside = test[songs.song]
    song, group = position[songs.song[inside]], songs.group[inside]
    given = is_drawn(group, share=GIVEN_SHARE, seed=GIVEN_SEED)
    known = np.unique(song[given])
    index = np.full(int(test.sum()), -1)
    index[known] = np.arange(len(known))
    asked = ~given & (index[song] >= 0)
    artists = labels.artists_of(songs.labeled)[test][known]
    candidates = Collection.make(artists, song=index[song[asked]], group=group[asked])
    together = Collection.make(artists, song=index[song[given]], group=group[given])
    rows = torch.from_numpy(known)
    scorers = {COOCCURRENCE: _by_groups(together.groups), **{n: _of_rows(s, rows) for n, s in methods.items()}}
    return {name: answer(score, candidates, k=k, own_artist=False).measures for name, score in scorers.items()}


def _by_groups(groups: sparse.csr_array) -> Scorer:
    """Return the cosines of the songs' playlists."""
    lengths = np.sqrt(groups.sum(axis=1))
    unit = sparse.csr_array(sparse.diags_array(1 / np.maximum(lengths, 1)) @ groups)
    return lambda rows: torch.from_numpy((unit[rows] @ unit.T).toarray().astype(np.float32))


def _of_rows(score: Scorer, rows: torch.Tensor) -> Scorer:
    return lambda block: score(rows[block])[:, rows]

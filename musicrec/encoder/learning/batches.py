"""Which songs are alike, and the batches that they are learned from.

A batch of a few songs from each of many groups is the PK batch of Hermans et al. (2017, arXiv 1703.07737).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from musicrec.arrays import Bools, Floats, Ints, concatenate_ranges
from musicrec.encoder.learning.inputs import InputLayout

SONGS_PER_GROUP = 6
UNIFORM_SHARE = 0.25
GROUPS_AT_ONCE = 4096


@dataclass(frozen=True)
class Positives:
    """Songs that share a group are alike: pairs (song, group), sorted by song, and their weight in the loss."""

    kind: str
    weight: float
    song: Ints
    group: Ints


@dataclass(frozen=True)
class TrainingSet:
    """What to learn from.

    Attributes
    ----------
    inputs : float32 array, shape (n, n_inputs)
    layout : InputLayout
    recordings : int64 array, shape (n,)
        Songs with one value are releases of one recording: neither positives nor negatives of each other.
    artists : int64 array, shape (n,)
    validation : bool array, shape (n,)
        Songs whose retrieval decides when to stop; never trained on.
    positives : tuple of Positives
        Empty: self-supervised.
    """

    inputs: Floats
    layout: InputLayout
    recordings: Ints
    artists: Ints
    validation: Bools
    positives: tuple[Positives, ...]

    def take(self, rows: Ints) -> TrainingSet:
        """Return some of the songs, by rising row."""
        index = np.full(len(self.inputs), -1)
        index[rows] = np.arange(len(rows))
        positives = []
        for kind in self.positives:
            inside = index[kind.song] >= 0
            positives.append(replace(kind, song=index[kind.song[inside]], group=kind.group[inside]))
        return replace(
            self,
            inputs=self.inputs[rows],
            recordings=self.recordings[rows],
            artists=self.artists[rows],
            validation=self.validation[rows],
            positives=tuple(positives),
        )


class Sampler:
    """Draws batches of songs without the validation songs, and says which of their songs are alike.

    A batch that is `rich` takes a few songs from each of many groups (playlists, or artists): uniformly drawn
    songs of a large catalog would hardly ever share one. Any other takes its share of all songs in random order.

    Parameters
    ----------
    songs : TrainingSet
    batch_size : int
        Songs of a batch, about; never more than there are to train on.
    rich : bool
    """

    def __init__(self, songs: TrainingSet, *, batch_size: int, rich: bool) -> None:
        self._songs, self._rich = songs, rich
        self._train = np.flatnonzero(~songs.validation)
        self._size = min(batch_size, len(self._train))
        self.n_batches = max(1, round(len(self._train) / batch_size))
        self._starts = [np.searchsorted(p.song, np.arange(len(songs.inputs) + 1)) for p in songs.positives]
        # Only rich batches need them, and a large catalog has millions.
        kinds = songs.positives if rich else ()
        self._groups = [group for p in kinds for group in _songs_of_groups(p, allowed=~songs.validation)]

    def draw(self, rng: np.random.Generator) -> Iterator[Ints]:
        """Yield the batches of an epoch: sorted indices of distinct songs."""
        if self._rich:
            for _ in range(self.n_batches):
                yield self._draw_rich(rng)
        else:
            for batch in np.array_split(rng.permutation(self._train), self.n_batches):
                yield np.sort(batch)

    def alike(self, batch: Ints) -> Tensor:
        """Return the weights (b, b) of the pairs that share a group: the largest of their kinds."""
        weights = torch.zeros(len(batch), len(batch))  # (b, b)
        for positives, starts in zip(self._songs.positives, self._starts, strict=True):
            weights = torch.maximum(weights, positives.weight * _share_a_group(batch, starts, positives.group))
        return weights

    def same_recording(self, batch: Ints) -> Tensor:
        """Return whether the pairs (b, b) are one recording; True on the diagonal."""
        recordings = torch.from_numpy(self._songs.recordings[batch])
        return recordings[:, None] == recordings[None, :]

    def _draw_rich(self, rng: np.random.Generator) -> Ints:
        n_drawn = round(self._size * UNIFORM_SHARE)
        drawn = [rng.choice(self._train, n_drawn, replace=False)]
        for group in rng.permutation(len(self._groups)):
            if n_drawn >= self._size:
                break
            songs = self._groups[group]
            drawn.append(rng.choice(songs, min(SONGS_PER_GROUP, len(songs)), replace=False))
            n_drawn += len(drawn[-1])
        return np.unique(np.concatenate(drawn))


class GroupIndex:
    """The groups of one kind that have a proxy: the largest ones that at least two songs of the training share.

    Parameters
    ----------
    positives : Positives
        Of the kind.
    allowed : bool array, shape (n,)
        Songs that are trained on.
    n_max : int
        At most so many groups.

    Attributes
    ----------
    weight : float
        Of the kind, in the loss.
    n_groups : int
    """

    def __init__(self, positives: Positives, *, allowed: Bools, n_max: int) -> None:
        keep = allowed[positives.song]
        names, column, sizes = np.unique(positives.group[keep], return_inverse=True, return_counts=True)
        largest = np.lexsort((names, -sizes))[:n_max]
        largest = largest[sizes[largest] > 1]
        slot = np.full(len(names), -1)
        slot[largest] = np.arange(len(largest))
        inside = slot[column] >= 0
        self.weight, self.n_groups = positives.weight, len(largest)
        self._slot = slot[column][inside]
        self._starts = np.searchsorted(positives.song[keep][inside], np.arange(len(allowed) + 1))

    def pairs(self, batch: Ints) -> tuple[Ints, Ints]:
        """Return the batch's pairs: row within the batch, and group."""
        row, position = _pairs(batch, self._starts)
        return row, self._slot[position]

    def draw(self, own: Ints, *, n_others: int, rng: np.random.Generator) -> tuple[Ints, Floats]:
        """Return the groups that a batch is compared with, rising, and how many groups each of them stands for.

        Parameters
        ----------
        own : int64 array, shape (n,)
            Groups of the batch, which are compared in any case; a group may stand several times.
        n_others : int
            Groups drawn of all others; all where there are no more.
        rng : Generator
        """
        own = np.unique(own)
        n_left = self.n_groups - len(own)
        n_drawn = min(n_left, n_others)
        # The others are numbered without the own ones: own[i] has own[i] - i others before it.
        drawn = np.sort(rng.choice(n_left, n_drawn, replace=False, shuffle=False))
        others = drawn + np.searchsorted(own - np.arange(len(own)), drawn, side="right")
        groups = np.concatenate([own, others])
        weights = np.repeat([1.0, n_left / max(n_drawn, 1)], [len(own), n_drawn]).astype(np.float32)
        order = np.argsort(groups)
        return groups[order], weights[order]


def _pairs(batch: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """Return the row within the batch and the position among all pairs of each of the batch's pairs."""
    counts = starts[batch + 1] - starts[batch]  # (b,)
    row = np.repeat(np.arange(len(batch)), counts)
    return row, concatenate_ranges(starts[batch], counts)


def _songs_of_groups(positives: Positives, *, allowed: Bools) -> list[Ints]:
    """Return the allowed songs of each group that has at least two."""
    keep = allowed[positives.song]
    order = np.argsort(positives.group[keep], kind="stable")
    songs, groups = positives.song[keep][order], positives.group[keep][order]
    cuts = np.flatnonzero(np.diff(groups)) + 1
    return [group for group in np.split(songs, cuts) if len(group) > 1]


def _share_a_group(batch: Ints, starts: Ints, group: Ints) -> Tensor:
    row, position = _pairs(batch, starts)
    names, column, sizes = np.unique(group[position], return_inverse=True, return_counts=True)
    shared = torch.zeros(len(batch), len(batch))
    useful = np.flatnonzero(sizes > 1)
    # In slices: a batch of a large catalog may touch a hundred thousand groups.
    for first in range(0, len(useful), GROUPS_AT_ONCE):
        slot = np.full(len(names), -1)
        chosen = useful[first : first + GROUPS_AT_ONCE]
        slot[chosen] = np.arange(len(chosen))
        inside = slot[column] >= 0
        incidence = torch.zeros(len(batch), len(chosen))  # (b, n_chosen)
        incidence[row[inside], slot[column[inside]]] = 1.0
        shared += incidence @ incidence.T  # (b, b)
    return (shared > 0).float()

"""The training loop: batches rich in positives, contrastive loss, early stopping on artists held out.

A batch takes a few songs from each of many groups (playlists, or artists): uniformly drawn songs of a large
catalog would hardly ever share one. Without any labels a song is compared with itself: two views in which
some inputs are replaced by those of other songs (SCARF, Bahri et al. 2022, arXiv 2106.15147).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from musicrec.algorithms.encoder import Architecture, Encoder
from musicrec.algorithms.losses import contrastive_loss
from musicrec.config import ModelConfig
from musicrec.errors import ConfigError

Indices = NDArray[np.int64]

SONGS_PER_GROUP = 6
UNIFORM_SHARE = 0.25
CORRUPTED_SHARE = 0.3
GROUPS_AT_ONCE = 4096


@dataclass(frozen=True)
class Positives:
    """Songs that share a group are alike: pairs (song, group), sorted by song, and their weight in the loss."""

    kind: str
    weight: float
    song: Indices
    group: Indices


@dataclass(frozen=True)
class TrainingSet:
    """What to learn from.

    Attributes
    ----------
    inputs : float32 array, shape (n, n_inputs)
    recordings : int64 array, shape (n,)
        Songs with one value are releases of one recording: neither positives nor negatives of each other.
    held_out : bool array, shape (n,)
        Songs whose loss decides when to stop; never trained on.
    positives : tuple of Positives
        Empty: self-supervised.
    """

    inputs: NDArray[np.float32]
    recordings: Indices
    held_out: NDArray[np.bool_]
    positives: tuple[Positives, ...]


@dataclass(frozen=True)
class Epoch:
    """One line of progress; losses in nats, NaN where no song is held out."""

    number: int
    loss: float
    held_out_loss: float
    seconds: float
    best: bool


def train_encoder(
    data: TrainingSet, *, settings: ModelConfig, on_epoch: Callable[[Epoch], None]
) -> tuple[Encoder, list[Epoch]]:
    """Train until the held-out loss stops falling, and return the best encoder and the history.

    Parameters
    ----------
    data : TrainingSet
        At least 2 songs that are not held out.
    settings : ModelConfig
        The same data, settings and machine give the same weights.
    on_epoch : callable
        Called after each epoch.
    """
    if settings.n_threads:
        torch.set_num_threads(settings.n_threads)
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    device = find_device(settings.device)
    shape = Architecture(data.inputs.shape[1], settings.hidden_layers, settings.embedding_dim, settings.dropout)
    encoder = Encoder(shape).to(device)
    sampler = _Sampler(data, settings=settings)
    optimizer = torch.optim.AdamW(
        encoder.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=settings.learning_rate, total_steps=settings.n_epochs * sampler.n_batches
    )
    history: list[Epoch] = []
    best_loss, best_weights = float("inf"), copy.deepcopy(encoder.state_dict())
    for number in range(1, settings.n_epochs + 1):
        started = time.monotonic()
        loss = _train_epoch(encoder, sampler, rng, optimizer, schedule, settings=settings)
        held_out = _held_out_loss(encoder, sampler, settings=settings)
        # Without held-out songs there is nothing to stop on: the last epoch is the best.
        better = not held_out >= best_loss
        if better:
            best_loss, best_weights = held_out, copy.deepcopy(encoder.state_dict())
        history.append(Epoch(number, loss, held_out, time.monotonic() - started, better))
        on_epoch(history[-1])
        if number - max(epoch.number for epoch in history if epoch.best) >= settings.patience:
            break
    encoder.load_state_dict(best_weights)
    return encoder.cpu().eval(), history


def find_device(wanted: str) -> torch.device:
    """Return the device of `model.device`.

    Raises
    ------
    ConfigError
        "cuda" is wanted, and there is none: hours on the CPU would be a surprise.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "model.device is cuda, but torch finds no CUDA device", todo='set model.device = "auto" or "cpu"'
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


class _Sampler:
    """Draws batches and says which of their songs are alike."""

    def __init__(self, data: TrainingSet, *, settings: ModelConfig) -> None:
        self.data = data
        self.batch_size = settings.batch_size
        self.train = np.flatnonzero(~data.held_out)
        self.n_batches = max(1, round(len(self.train) / settings.batch_size))
        self._starts = [np.searchsorted(p.song, np.arange(len(data.inputs) + 1)) for p in data.positives]
        self._groups = [members for p in data.positives for members in _members(p, allowed=~data.held_out)]

    def draw(self, rng: np.random.Generator) -> Iterator[Indices]:
        """Yield the batches of an epoch: sorted indices of distinct songs that are not held out."""
        for _ in range(self.n_batches):
            yield self._draw_one(rng)

    def fixed(self) -> Iterator[Indices]:
        """Yield batches that cover the held-out songs, the same ones in every epoch."""
        held_out = np.random.default_rng(0).permutation(np.flatnonzero(self.data.held_out))
        for start in range(0, len(held_out), self.batch_size):
            yield np.sort(held_out[start : start + self.batch_size])

    def alike(self, batch: Indices) -> Tensor:
        """Return the weights (b, b) of the pairs that share a group."""
        weights = torch.zeros(len(batch), len(batch))
        for positives, starts in zip(self.data.positives, self._starts, strict=True):
            weights = torch.maximum(weights, positives.weight * _share_a_group(batch, starts, positives.group))
        return weights

    def same_recording(self, batch: Indices) -> Tensor:
        """Return whether the pairs (b, b) are one recording; True on the diagonal."""
        recordings = torch.from_numpy(self.data.recordings[batch])
        return recordings[:, None] == recordings[None, :]

    def _draw_one(self, rng: np.random.Generator) -> Indices:
        size = min(self.batch_size, len(self.train))
        n_uniform = size if not self._groups else round(size * UNIFORM_SHARE)
        parts = [rng.choice(self.train, n_uniform, replace=False)]
        n_drawn = n_uniform
        for group in rng.permutation(len(self._groups)):
            if n_drawn >= size:
                break
            members = self._groups[group]
            parts.append(rng.choice(members, min(SONGS_PER_GROUP, len(members)), replace=False))
            n_drawn += len(parts[-1])
        return np.unique(np.concatenate(parts))


def _members(positives: Positives, *, allowed: NDArray[np.bool_]) -> list[Indices]:
    """Return the allowed songs of each group that has at least two."""
    keep = allowed[positives.song]
    order = np.argsort(positives.group[keep], kind="stable")
    songs, groups = positives.song[keep][order], positives.group[keep][order]
    cuts = np.flatnonzero(np.diff(groups)) + 1
    return [members for members in np.split(songs, cuts) if len(members) > 1]


def _share_a_group(batch: Indices, starts: Indices, group: Indices) -> Tensor:
    counts = starts[batch + 1] - starts[batch]
    row = np.repeat(np.arange(len(batch)), counts)
    # Positions of the batch's pairs within all pairs, without a Python loop over its songs.
    position = np.repeat(starts[batch] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    names, column, sizes = np.unique(group[position], return_inverse=True, return_counts=True)
    shared = torch.zeros(len(batch), len(batch))
    useful = np.flatnonzero(sizes > 1)
    # In slices: a batch of a large catalog may touch a hundred thousand groups.
    for first in range(0, len(useful), GROUPS_AT_ONCE):
        slot = np.full(len(names), -1)
        chosen = useful[first : first + GROUPS_AT_ONCE]
        slot[chosen] = np.arange(len(chosen))
        inside = slot[column] >= 0
        incidence = torch.zeros(len(batch), len(chosen))
        incidence[row[inside], slot[column[inside]]] = 1.0
        shared += incidence @ incidence.T
    return (shared > 0).float()


def _train_epoch(
    encoder: Encoder,
    sampler: _Sampler,
    rng: np.random.Generator,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    settings: ModelConfig,
) -> float:
    encoder.train()
    losses = []
    for batch in sampler.draw(rng):
        loss = _batch_loss(encoder, sampler, batch, settings=settings, rng=rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _held_out_loss(encoder: Encoder, sampler: _Sampler, *, settings: ModelConfig) -> float:
    encoder.eval()
    # The same corruption in every epoch, so that the losses compare.
    rng = np.random.default_rng(settings.seed + 1)
    with torch.inference_mode():
        losses = [
            float(_batch_loss(encoder, sampler, batch, settings=settings, rng=rng))
            for batch in sampler.fixed()
            if len(batch) > 1
        ]
    return float(np.mean(losses)) if losses else float("nan")


def _batch_loss(
    encoder: Encoder, sampler: _Sampler, batch: Indices, *, settings: ModelConfig, rng: np.random.Generator
) -> Tensor:
    device = next(encoder.parameters()).device
    inputs = torch.from_numpy(sampler.data.inputs[batch])
    if not sampler.data.positives:
        views = torch.cat([_corrupt(inputs, rng), _corrupt(inputs, rng)]).to(device)
        n = len(batch)
        twin = torch.roll(torch.eye(2 * n, device=device), n, dims=1)
        itself = torch.eye(2 * n, dtype=torch.bool, device=device)
        return contrastive_loss(encoder(views), positives=twin, excluded=itself, temperature=settings.temperature)
    if encoder.training and settings.input_noise:
        noise = rng.standard_normal(inputs.shape, dtype=np.float32) * settings.input_noise
        inputs = inputs + torch.from_numpy(noise)
    return contrastive_loss(
        encoder(inputs.to(device)),
        positives=sampler.alike(batch).to(device),
        excluded=sampler.same_recording(batch).to(device),
        temperature=settings.temperature,
    )


def _corrupt(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace a share of the inputs by those of other songs of the batch, input by input."""
    n, width = inputs.shape
    donors = torch.from_numpy(rng.integers(0, n, size=(n, width)))
    replaced = torch.from_numpy(rng.random((n, width)) < CORRUPTED_SHARE)
    return torch.where(replaced, inputs.gather(0, donors), inputs)

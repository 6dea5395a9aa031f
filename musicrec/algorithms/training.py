"""The training loop: contrastive and proxy losses, hidden inputs, early stopping on artists held out.

Without any labels a song is compared with itself: two views in which some inputs are replaced by those of other
songs (SCARF, Bahri et al. 2022, arXiv 2106.15147).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from musicrec.algorithms.batches import GroupIndex, Indices, Sampler, TrainingSet
from musicrec.algorithms.checkpoint import Checkpoints, name_training, pack, unpack
from musicrec.algorithms.encoder import Architecture, Encoder, embed
from musicrec.algorithms.losses import contrastive_loss, proxy_loss
from musicrec.algorithms.retrieval import Candidates, answer, by_cosine
from musicrec.config import ModelConfig
from musicrec.errors import ConfigError

CORRUPTED_SHARE = 0.3
# Groups of a kind that get a proxy, and songs that judge an epoch: both bound memory and time.
MAX_PROXIES = 8192
MAX_JUDGES = 2000
JUDGED_PLACES = 10
PROXY_SCALE = 0.1


@dataclass(frozen=True)
class Epoch:
    """One line of progress.

    loss is in nats. held_out_score is the mean average precision, 0..1, of retrieval among the held-out songs,
    other artists' only unless artists alone make songs alike; without labels minus their loss; NaN where no song
    is held out.
    """

    number: int
    loss: float
    held_out_score: float
    seconds: float
    best: bool


def train_encoder(
    songs: TrainingSet,
    *,
    settings: ModelConfig,
    on_epoch: Callable[[Epoch], None],
    checkpoints: Checkpoints | None = None,
) -> tuple[Encoder, list[Epoch]]:
    """Train until the held-out score stops rising, and return the best encoder and the history.

    Parameters
    ----------
    songs : TrainingSet
        At least 2 songs that are not held out.
    settings : ModelConfig
        The same songs, settings and machine give the same weights, also where a training is resumed.
    on_epoch : callable
        Called after each epoch.
    checkpoints : Checkpoints, optional
        Where to go on from, and where to keep what is reached.
    """
    if settings.n_threads:
        torch.set_num_threads(settings.n_threads)
    learner, progress = _start(songs, settings, checkpoints)
    judge = _Judge(songs, settings)
    while len(progress.history) < settings.n_epochs and progress.n_idle < settings.patience:
        started = time.monotonic()
        loss = learner.train_epoch()
        progress.add(loss, judge.score(learner), started)
        on_epoch(progress.history[-1])
        progress.keep()
    learner.encoder.load_state_dict(progress.best_weights)
    return learner.encoder.cpu().eval(), progress.history


def _start(
    songs: TrainingSet, settings: ModelConfig, checkpoints: Checkpoints | None
) -> tuple[_Learner, _Progress]:
    """Return a training at its beginning, or where the last one of its name was kept."""
    name = name_training(songs, settings) if checkpoints else ""
    torch.manual_seed(settings.seed)
    progress = _Progress(_Learner(songs, settings), checkpoints, name)
    kept = checkpoints.read(name) if checkpoints else None
    if kept is not None:
        try:
            progress.restore(kept)
        except ValueError:
            # A broken file costs what it had saved, not the run. Some of it may have been taken over.
            torch.manual_seed(settings.seed)
            progress = _Progress(_Learner(songs, settings), checkpoints, name)
    return progress.learner, progress


class _Progress:
    """What a training has reached: its history and its best weights, kept from time to time."""

    def __init__(self, learner: _Learner, checkpoints: Checkpoints | None, name: str) -> None:
        self.learner, self._checkpoints, self._name = learner, checkpoints, name
        self._kept_at = time.monotonic()
        self.history: list[Epoch] = []
        self.best_weights = copy.deepcopy(learner.encoder.state_dict())

    def restore(self, content: bytes) -> None:
        """Go on from what was kept."""
        self.best_weights, history = self.learner.restore(content)
        self.history = [Epoch(**epoch) for epoch in history]

    @property
    def n_idle(self) -> int:
        """Epochs since the best one."""
        return len(self.history) - max((epoch.number for epoch in self.history if epoch.best), default=0)

    def add(self, loss: float, score: float, started: float) -> None:
        """Note an epoch that ended just now."""
        best_score = max((epoch.held_out_score for epoch in self.history if epoch.best), default=-math.inf)
        # Without held-out songs there is nothing to stop on: the last epoch is the best.
        better = not score <= best_score
        if better:
            self.best_weights = copy.deepcopy(self.learner.encoder.state_dict())
        self.history.append(Epoch(len(self.history) + 1, loss, score, time.monotonic() - started, better))

    def keep(self) -> None:
        """Keep the state where the last one is old."""
        if self._checkpoints and time.monotonic() - self._kept_at >= self._checkpoints.seconds:
            history = [asdict(epoch) for epoch in self.history]
            self._checkpoints.write(self._name, self.learner.pack(self.best_weights, history))
            self._kept_at = time.monotonic()


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


class _Learner:
    """The encoder with what trains it: batches, proxies, optimizer and schedule."""

    def __init__(self, songs: TrainingSet, settings: ModelConfig) -> None:
        self._songs, self._settings = songs, settings
        self._rng = np.random.default_rng(settings.seed)
        self.device = find_device(settings.device)
        self.encoder = Encoder(_architecture(songs, settings)).to(self.device)
        kinds = [GroupIndex(p, allowed=~songs.held_out, n_max=MAX_PROXIES) for p in songs.positives]
        self._kinds = [kind for kind in kinds if kind.n_groups > 1 and settings.proxy_weight]
        # A single group has no other to be told apart from: then songs are compared with those outside of it.
        self._contrastive_weight = settings.contrastive_weight or (0.0 if self._kinds else 1.0)
        rich = bool(songs.positives and self._contrastive_weight)
        self._sampler = Sampler(songs, batch_size=settings.batch_size, rich=rich)
        self._proxies = nn.ParameterList(
            PROXY_SCALE * torch.randn(kind.n_groups, settings.embedding_dim) for kind in self._kinds
        ).to(self.device)
        self._modules: dict[str, nn.Module] = {"encoder": self.encoder, "proxies": self._proxies}
        parameters = [*self.encoder.parameters(), *self._proxies]
        self._optimizer = torch.optim.AdamW(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, settings.learning_rate, total_steps=settings.n_epochs * self._sampler.n_batches
        )

    def train_epoch(self) -> float:
        """Take the batches of an epoch and return their mean loss."""
        self.encoder.train()
        losses = []
        for batch in self._sampler.draw(self._rng):
            loss = self._loss(batch)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def pack(self, best_weights: dict[str, Tensor], history: list[dict[str, Any]]) -> bytes:
        """Return the state of the training."""
        plain = {
            "history": history,
            "schedule": self._schedule.state_dict(),
            "generator": self._rng.bit_generator.state,
        }
        return pack(self._modules, self._optimizer, best_weights, plain)

    def restore(self, content: bytes) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Go on from what `pack` returned, and return what it was given.

        Raises
        ------
        ValueError
            It is no state of this training.
        """
        best_weights, plain = unpack(content, self._modules, self._optimizer)
        self._schedule.load_state_dict(plain["schedule"])
        self._rng.bit_generator.state = plain["generator"]
        return best_weights, plain["history"]

    def twin_loss(self, batch: Indices, rng: np.random.Generator) -> Tensor:
        """Return the loss of songs that should be nearest to themselves when both are disturbed."""
        inputs = torch.from_numpy(self._songs.inputs[batch])
        vectors = self.encoder(torch.cat([_corrupt(inputs, rng), _corrupt(inputs, rng)]).to(self.device))
        n = len(batch)
        itself = torch.eye(2 * n, dtype=torch.bool, device=self.device)
        twin = torch.roll(itself.float(), n, dims=1)
        return contrastive_loss(vectors, positives=twin, excluded=itself, temperature=self._settings.temperature)

    def _loss(self, batch: Indices) -> Tensor:
        if not self._songs.positives:
            return self.twin_loss(batch, self._rng)
        settings = self._settings
        vectors: Tensor = self.encoder(self._disturbed(batch).to(self.device))
        losses = []
        if self._contrastive_weight:
            loss = contrastive_loss(
                vectors,
                positives=self._sampler.alike(batch).to(self.device),
                excluded=self._sampler.same_recording(batch).to(self.device),
                temperature=settings.temperature,
            )
            losses.append(self._contrastive_weight * loss)
        for kind, proxies in zip(self._kinds, self._proxies, strict=True):
            row, column = (torch.from_numpy(each).to(self.device) for each in kind.pairs(batch))
            loss = proxy_loss(vectors, proxies, row=row, column=column, temperature=settings.proxy_temperature)
            losses.append(settings.proxy_weight * kind.weight * loss)
        return torch.stack(losses).sum()

    def _disturbed(self, batch: Indices) -> Tensor:
        settings, layout = self._settings, self._songs.layout
        inputs = self._songs.inputs[batch]
        noise = self._rng.standard_normal(inputs.shape, dtype=np.float32) * settings.input_noise
        noise[:, layout.is_mask] = 0
        missing = _missing(len(batch), layout.n_sources, settings.hidden_songs, self._rng)
        return torch.from_numpy(layout.hide(inputs + noise, missing))


class _Judge:
    """Says how good an encoder is on the held-out songs."""

    def __init__(self, songs: TrainingSet, settings: ModelConfig) -> None:
        self._songs, self._seed = songs, settings.seed + 1
        held_out = np.flatnonzero(songs.held_out)
        chosen = np.random.default_rng(0).permutation(held_out)[:MAX_JUDGES]
        self._rows = np.sort(chosen)
        self._candidates: Candidates | None = None
        self._own_artist = False
        if songs.positives and len(chosen):
            # By the weightiest kind alone: that is what the user cares for most. An artist's own songs are no
            # answer, so artists judge only where there is nothing else.
            others = [positives for positives in songs.positives if positives.kind != "artist"]
            self._own_artist = not others
            kind = max(others or songs.positives, key=lambda positives: positives.weight)
            inside = np.isin(kind.song, self._rows)
            place = np.searchsorted(self._rows, kind.song[inside])
            self._candidates = Candidates.make(songs.artists[self._rows], song=place, group=kind.group[inside])

    def score(self, learner: _Learner) -> float:
        """Return the score of `Epoch`."""
        learner.encoder.eval()
        if len(self._rows) < 2:
            return math.nan
        if self._candidates is None:
            # The same corruption in every epoch, so that the losses compare.
            with torch.inference_mode():
                return -float(learner.twin_loss(self._rows, np.random.default_rng(self._seed)))
        vectors = embed(learner.encoder, self._songs.inputs[self._rows]).astype(np.float32)
        found = answer(by_cosine(vectors), self._candidates, k=JUDGED_PLACES, own_artist=self._own_artist)
        precision = found.judged.average_precision
        return float(precision.mean()) if len(precision) else math.nan


def _architecture(songs: TrainingSet, settings: ModelConfig) -> Architecture:
    return Architecture(
        n_inputs=songs.inputs.shape[1],
        hidden_layers=settings.hidden_layers,
        embedding_dim=settings.embedding_dim,
        dropout=settings.dropout,
        n_numeric=songs.layout.n_numeric,
        n_frequencies=settings.n_frequencies if songs.layout.n_numeric else 0,
        frequency_scale=settings.frequency_scale,
        numeric_width=settings.numeric_width,
    )


def _missing(n: int, n_sources: int, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (n, n_sources): in a `share` of the songs, raw values are hidden, of each any part of them."""
    rate = rng.random((n, 1)) * (rng.random((n, 1)) < share)
    missing: NDArray[np.bool_] = rng.random((n, n_sources)) < rate
    return missing


def _corrupt(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace a share of the inputs by those of other songs of the batch, input by input."""
    n, width = inputs.shape
    donors = torch.from_numpy(rng.integers(0, n, size=(n, width)))
    replaced = torch.from_numpy(rng.random((n, width)) < CORRUPTED_SHARE)
    return torch.where(replaced, inputs.gather(0, donors), inputs)

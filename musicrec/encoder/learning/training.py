"""The training loop: epochs, early stopping by the validation songs, and going on where one was cut.

A training ends when the score has not risen for some epochs, and the best of them is kept (Prechelt 1998, "Early
stopping, but when?"). Validation songs are of artists that are not trained on.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from musicrec.config import ModelConfig
from musicrec.encoder.learning.batches import TrainingSet
from musicrec.encoder.learning.checkpoint import Checkpoints, name_training, seal, unseal
from musicrec.encoder.learning.learner import Learner
from musicrec.encoder.learning.model import Encoder, embed
from musicrec.errors import QualityError
from musicrec.measures.retrieval import Collection, answer, by_cosine

# Validation songs that an epoch is measured by: they bound memory and time.
MAX_VALIDATION_SONGS = 2000
VALIDATION_K = 10


@dataclass(frozen=True)
class Epoch:
    """One line of progress, as the manifest and checkpoints have it, too.

    Attributes
    ----------
    number : int
        From 1.
    loss : float
        The mean over the batches, in nats.
    held_out_score : float
        The mean average precision, 0..1, of retrieval among the validation songs, other artists' only unless
        artists alone make songs alike; without labels minus their loss; NaN where there are none.
    seconds : float
    best : bool
        Its score is better than those of all before; without a score each epoch is.
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
    """Train until the score of the validation songs stops rising, and return the best encoder and the history.

    Parameters
    ----------
    songs : TrainingSet
        At least 2 songs that are no validation songs.
    settings : ModelConfig
        The same songs, settings and machine give the same weights, also where a training is resumed.
    on_epoch : callable
        Called after each epoch.
    checkpoints : Checkpoints, optional
        Where to go on from, and where to keep what is reached.

    Raises
    ------
    QualityError
        The loss is no number any more.
    """
    if settings.expert.n_threads:
        torch.set_num_threads(settings.expert.n_threads)
    validation = _Validation(songs, settings)
    learner, progress = _start(songs, settings, checkpoints, validation)
    while len(progress.history) < settings.n_epochs and progress.n_idle < settings.expert.patience:
        started = time.monotonic()
        loss = learner.train_epoch()
        if not math.isfinite(loss):
            raise QualityError(
                f"training went astray in epoch {len(progress.history) + 1}: its loss is {loss}",
                todo="lower model.expert.learning_rate",
            )
        progress.add(loss, validation.score(learner), started)
        on_epoch(progress.history[-1])
        progress.keep()
    learner.encoder.load_state_dict(progress.best_weights)
    return learner.encoder.cpu().eval(), progress.history


def _start(
    songs: TrainingSet, settings: ModelConfig, checkpoints: Checkpoints | None, validation: _Validation
) -> tuple[Learner, _Progress]:
    """Return a training at its beginning, or where the last one of its name was kept."""
    name = name_training(songs, settings) if checkpoints else ""
    progress = _Progress(songs, settings, checkpoints, name, validation)
    kept = checkpoints.read(name) if checkpoints else None
    if checkpoints and kept is not None:
        try:
            progress.restore(unseal(name, kept))
            checkpoints.on_restored()
        except (ValueError, TypeError, KeyError) as error:
            # A broken file costs what it had saved, not the run. Some of it may have been taken over.
            checkpoints.on_broken(name, str(error))
            progress = _Progress(songs, settings, checkpoints, name, validation)
    return progress.learner, progress


class _Progress:
    """What a training has reached: its history and its best weights, kept from time to time."""

    def __init__(
        self,
        songs: TrainingSet,
        settings: ModelConfig,
        checkpoints: Checkpoints | None,
        name: str,
        validation: _Validation,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.learner, self._checkpoints, self._name = Learner(songs, settings), checkpoints, name
        self._kept_at = time.monotonic()
        self.history: list[Epoch] = []
        self.best_weights = copy.deepcopy(self.learner.encoder.state_dict())
        # A linear map is an encoder already, and the best where no epoch is better.
        has_linear = self.learner.encoder.linear is not None
        self._start_score = validation.score(self.learner) if has_linear else -math.inf

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
        best_score = max((epoch.held_out_score for epoch in self.history if epoch.best), default=self._start_score)
        # Without validation songs there is nothing to stop on: the last epoch is the best.
        better = not score <= best_score
        if better:
            self.best_weights = copy.deepcopy(self.learner.encoder.state_dict())
        self.history.append(Epoch(len(self.history) + 1, loss, score, time.monotonic() - started, better))

    def keep(self) -> None:
        """Keep the state where the last one is old."""
        if self._checkpoints and time.monotonic() - self._kept_at >= self._checkpoints.seconds:
            history = [asdict(epoch) for epoch in self.history]
            state = self.learner.pack(self.best_weights, history)
            self._checkpoints.write(self._name, seal(self._name, state))
            self._kept_at = time.monotonic()


class _Validation:
    """Measures how good an encoder is on the validation songs."""

    def __init__(self, songs: TrainingSet, settings: ModelConfig) -> None:
        self._songs, self._seed = songs, settings.seed + 1
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(songs.validation))[:MAX_VALIDATION_SONGS]
        self._rows = np.sort(chosen)
        self._candidates: Collection | None = None
        self._own_artist = False
        if songs.positives and len(chosen):
            # By the weightiest kind alone: that is what the user cares for most. An artist's own songs are no
            # answer, so artists count only where there is nothing else.
            others = [positives for positives in songs.positives if positives.kind != "artist"]
            self._own_artist = not others
            kind = max(others or songs.positives, key=lambda positives: positives.weight)
            inside = np.isin(kind.song, self._rows)
            index = np.searchsorted(self._rows, kind.song[inside])
            self._candidates = Collection.make(songs.artists[self._rows], song=index, group=kind.group[inside])

    def score(self, learner: Learner) -> float:
        """Return the score of `Epoch`."""
        learner.encoder.eval()
        if len(self._rows) < 2:
            return math.nan
        if self._candidates is None:
            # The same corruption in every epoch, so that the losses compare.
            with torch.inference_mode():
                return -float(learner.twin_loss(self._rows, np.random.default_rng(self._seed)))
        vectors = embed(learner.encoder, self._songs.inputs[self._rows])  # (n_rows, embedding_dim)
        found = answer(by_cosine(vectors), self._candidates, k=VALIDATION_K, own_artist=self._own_artist)
        precision = found.measures.average_precision
        return float(precision.mean()) if len(precision) else math.nan

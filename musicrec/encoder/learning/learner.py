"""An encoder with what trains it: batches, proxies, losses, hidden inputs and optimizer.

Without any labels a song is compared with itself: two views in which some inputs are replaced by those of other
songs (SCARF, Bahri et al. 2022, arXiv 2106.15147).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from musicrec.arrays import Bools, Ints
from musicrec.config import ModelConfig
from musicrec.encoder.learning.baselines import MAX_FITTED, MIN_SPREAD, Affine, fit_discriminant
from musicrec.encoder.learning.batches import GroupIndex, Sampler, TrainingSet
from musicrec.encoder.learning.checkpoint import pack, unpack
from musicrec.encoder.learning.losses import contrastive_loss, proxy_loss
from musicrec.encoder.learning.model import Architecture, Encoder, start_linear
from musicrec.encoder.learning.optimizer import OneCycle
from musicrec.errors import ConfigError

CORRUPTED_SHARE = 0.3
# Groups of a kind that get a proxy: they bound memory and time.
MAX_PROXIES = 8192
# Groups that a batch is compared with beyond its own. All of 8,192 take twice the time of a training, and teach no
# more.
N_OTHERS = 512
PROXY_SCALE = 0.1
# The first GPUs with units for bfloat16 (Ampere); elsewhere it is emulated, and takes longer. On an H100 it trains
# layers of 4,096 in four fifths of the time; up to 2,048 it gains nothing, steps being mostly launches.
BF16_CAPABILITY = (8, 0)


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


def has_bf16(device: torch.device) -> bool:
    """Return whether training takes the encoder's products in bfloat16 there."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= BF16_CAPABILITY


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Make the same sums in the same order each time; a GPU otherwise makes some of them in any."""
    if device.type != "cuda":
        yield
        return
    switches: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    # A hundred launches a step, for memory that nobody reads before it is written.
    switches.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        switches.fill_uninitialized_memory = before[1]


class Learner:
    """The encoder with what trains it: batches, proxies and optimizer."""

    def __init__(self, songs: TrainingSet, settings: ModelConfig) -> None:
        self._songs, self._expert = songs, settings.expert
        self._rng = np.random.default_rng(settings.seed)
        self.device = find_device(settings.device)
        self.encoder = Encoder(_architecture(songs, settings))
        if self.encoder.linear is not None:
            start_linear(self.encoder, _linear_start(songs, n_components=settings.embedding_dim))
        self.encoder.to(self.device)
        kinds = [GroupIndex(p, allowed=~songs.validation, n_max=MAX_PROXIES) for p in songs.positives]
        self._kinds = [kind for kind in kinds if kind.n_groups > 1]
        # A single group has no other to be told apart from: then songs are compared with those outside of it.
        rich = bool(songs.positives) and not self._kinds
        self._sampler = Sampler(songs, batch_size=self._expert.batch_size, rich=rich)
        self._proxies = nn.ParameterList(
            PROXY_SCALE * torch.randn(kind.n_groups, settings.embedding_dim) for kind in self._kinds
        ).to(self.device)  # (n_groups, embedding_dim) each

        self._modules: dict[str, nn.Module] = {"encoder": self.encoder, "proxies": self._proxies}
        parameters = [*self.encoder.parameters(), *self._proxies]
        self._optimizer = OneCycle(
            parameters,
            rate=self._expert.learning_rate,
            weight_decay=self._expert.weight_decay,
            n_steps=settings.n_epochs * self._sampler.n_batches,
        )

    def train_epoch(self) -> float:
        """Take the batches of an epoch and return their mean loss."""
        self.encoder.train()
        losses = []
        with repeatable(self.device):
            for batch in self._sampler.draw(self._rng):
                loss = self._loss(batch)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                losses.append(loss.detach())
        # All at once: a GPU would wait for each of them.
        return float(np.mean(torch.stack(losses).tolist()))

    def pack(self, best_weights: dict[str, Tensor], history: list[dict[str, Any]]) -> bytes:
        """Return the state of the training."""
        plain = {
            "history": history,
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
        if set(plain) != {"generator", "history"}:
            raise ValueError(f"no checkpoint of this training: it holds {', '.join(sorted(plain))}")
        self._rng.bit_generator.state = plain["generator"]
        return best_weights, plain["history"]

    def twin_loss(self, batch: Ints, rng: np.random.Generator) -> Tensor:
        """Return the loss of songs that should be nearest to themselves when both are disturbed."""
        inputs = torch.from_numpy(self._songs.inputs[batch])  # (b, n_inputs)
        vectors = self._vectors_of(torch.cat([_corrupt(inputs, rng), _corrupt(inputs, rng)]))  # (2 b, d)
        n = len(batch)
        itself = torch.eye(2 * n, dtype=torch.bool, device=self.device)  # (2 b, 2 b)
        twin = torch.roll(itself.float(), n, dims=1)  # (2 b, 2 b)
        return contrastive_loss(vectors, positives=twin, excluded=itself, temperature=self._expert.temperature)

    def _loss(self, batch: Ints) -> Tensor:
        if not self._songs.positives:
            return self.twin_loss(batch, self._rng)
        vectors = self._vectors_of(self._disturbed(batch))  # (b, d)
        if not self._kinds:
            return contrastive_loss(
                vectors,
                positives=self._sampler.alike(batch).to(self.device),  # (b, b)
                excluded=self._sampler.same_recording(batch).to(self.device),  # (b, b)
                temperature=self._expert.temperature,
            )
        losses = []
        for kind, proxies in zip(self._kinds, self._proxies, strict=True):
            losses.append(kind.weight * self._proxy_loss(vectors, kind, proxies, batch))
        return torch.stack(losses).sum()

    def _proxy_loss(self, vectors: Tensor, kind: GroupIndex, proxies: Tensor, batch: Ints) -> Tensor:
        row, own = kind.pairs(batch)  # (n_pairs,) each
        groups, weights = kind.draw(own, n_others=N_OTHERS, rng=self._rng)  # (n_compared,) each
        column = np.searchsorted(groups, own)  # (n_pairs,)
        rows, columns, compared, counts = (
            torch.from_numpy(each).to(self.device) for each in (row, column, groups, weights)
        )
        return proxy_loss(
            vectors, proxies.index_select(0, compared), row=rows, column=columns,
            temperature=self._expert.proxy_temperature, weights=counts,
        )  # fmt: skip

    def _vectors_of(self, inputs: Tensor) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=has_bf16(self.device)):
            vectors: Tensor = self.encoder(inputs.to(self.device))  # (b, embedding_dim)
        return vectors.float()

    def _disturbed(self, batch: Ints) -> Tensor:
        expert, layout = self._expert, self._songs.layout
        inputs = self._songs.inputs[batch]  # (b, n_inputs)
        noise = self._rng.standard_normal(inputs.shape, dtype=np.float32) * expert.input_noise  # (b, n_inputs)
        noise[:, layout.is_mask] = 0
        missing = _missing(len(batch), layout.n_sources, expert.hidden_songs, self._rng)  # (b, n_sources)
        return torch.from_numpy(layout.hide(inputs + noise, missing))


def _linear_start(songs: TrainingSet, *, n_components: int) -> Affine:
    """Return the linear discriminant of some songs to train on: the best that can be had without layers.

    Its vectors are of length 1 in the mean, as those that leave the layers are about.
    """
    some = songs.take(np.flatnonzero(~songs.validation)[:MAX_FITTED])
    inputs = some.inputs.astype(np.float64)  # (n, n_inputs)
    fitted = fit_discriminant(inputs, some.positives, n_components=n_components)
    length = np.sqrt(((inputs - fitted.center) @ fitted.matrix).var(axis=0).sum())
    return Affine(fitted.center, fitted.matrix / max(length, MIN_SPREAD))


def _architecture(songs: TrainingSet, settings: ModelConfig) -> Architecture:
    return Architecture(
        n_inputs=songs.inputs.shape[1],
        hidden_layers=settings.hidden_layers,
        embedding_dim=settings.embedding_dim,
        dropout=settings.expert.dropout,
        n_numeric=songs.layout.n_numeric,
        n_frequencies=settings.expert.n_frequencies if songs.layout.n_numeric else 0,
        frequency_scale=settings.expert.frequency_scale,
        numeric_width=settings.expert.numeric_width,
        has_linear=bool(songs.positives),
    )


def _missing(n: int, n_sources: int, share: float, rng: np.random.Generator) -> Bools:
    """Return (n, n_sources): in a `share` of the songs, raw values are hidden, of each any part of them."""
    rate = rng.random((n, 1)) * (rng.random((n, 1)) < share)  # (n, 1)
    missing: Bools = rng.random((n, n_sources)) < rate  # (n, n_sources)
    return missing


def _corrupt(inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """Replace a share of the inputs by those of other songs of the batch, input by input."""
    n, width = inputs.shape
    donors = torch.from_numpy(rng.integers(0, n, size=(n, width)))  # (n, width)
    replaced = torch.from_numpy(rng.random((n, width)) < CORRUPTED_SHARE)  # (n, width)
    return torch.where(replaced, inputs.gather(0, donors), inputs)

"""Train: the sample → an encoder, fitted and trained on most of its artists."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from musicrec.arrays import Bools, Floats
from musicrec.config import ModelConfig
from musicrec.context import Context, log
from musicrec.encoder import labels
from musicrec.encoder.features import raw_songs
from musicrec.encoder.judges import draw_judges
from musicrec.encoder.learning.artists import KnownArtists
from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.batches import TrainingSet
from musicrec.encoder.learning.checkpoint import Checkpoints
from musicrec.encoder.learning.inputs import Encodings
from musicrec.encoder.learning.learner import find_device
from musicrec.encoder.learning.model import Encoder, make_linear
from musicrec.encoder.learning.song_inputs import SongEncodings, encode_songs
from musicrec.encoder.learning.training import Epoch, train_encoder
from musicrec.encoder.sample import Songs
from musicrec.encoder.training_set import make_training_set
from musicrec.storage import artifacts, datasets
from musicrec.storage.stores import Store


@dataclass(frozen=True)
class Trained:
    """An encoder and how it came about.

    Attributes
    ----------
    encoder : Encoder
    encodings : SongEncodings
        Fitted on the songs that were learned from.
    inputs : float32 array, shape (n, n_inputs)
        Of all sampled songs.
    learned : TrainingSet or None
        The songs that were learned from; None where nothing was, and the encoder only compares inputs.
    kept : bool array, shape (n,)
        Which these are; the others stand at the gate.
    history : list of Epoch
    objective : str
        What made songs alike.
    artists : KnownArtists or None
        The catalog's, where what they tell is an input.
    why_untrained : str
        Why nothing was trained; empty where something was.
    """

    encoder: Encoder
    encodings: SongEncodings
    inputs: Floats
    learned: TrainingSet | None
    kept: Bools
    history: list[Epoch]
    objective: str
    artists: KnownArtists | None = None
    why_untrained: str = ""

    def describe(self, settings: ModelConfig) -> dict[str, Any]:
        """Return what the manifest says of the training."""
        return {
            "objective": self.objective,
            "inputs": list(self.encodings.input_names),
            "n_sampled": len(self.inputs),
            "history": [_as_line(epoch) for epoch in self.history],
            **({"training": _cost(self.history, settings)} if self.history else {}),
        }


def train(context: Context, songs: Songs, values: Encodings, artists: KnownArtists | None) -> Trained:
    """Fit the encodings of texts and train the encoder on most of the artists.

    Parameters
    ----------
    context : Context
    songs : Songs
    values : Encodings
        `training_set.fit_kept` of the songs.
    artists : KnownArtists, optional
        The catalog's, where what they tell is an input.

    Raises
    ------
    QualityError
        The training went astray.
    """
    with context.stage("train", n_rows=songs.labeled.num_rows):
        settings = context.config.model
        kept = ~labels.is_at_gate(songs.labeled, settings=settings)
        # Whole artists are set aside: of very few artists that may be all songs.
        n_learned = int((kept & ~labels.is_validation(songs.labeled, settings=settings)).sum())
        if reason := _why_not_trained(songs, settings, kept=kept, n_learned=n_learned):
            return _untrained(songs, values, kept=kept, reason=reason)
        made = make_training_set(songs, settings, values=values, kept=kept, artists=artists)
        encoder, history = train_encoder(
            made.learned, settings=settings, on_epoch=_log_epoch, checkpoints=_checkpoints(context)
        )
        artifacts.drop_checkpoints(context.run.place(datasets.MODEL))
        return Trained(encoder, made.encodings, made.inputs, made.learned, kept, history, made.objective, artists)


def _why_not_trained(songs: Songs, settings: ModelConfig, *, kept: Bools, n_learned: int) -> str:
    """Return why nothing can be learned, or what is learned could not be judged; empty where both can."""
    if n_learned < settings.expert.min_songs:
        return f"{n_learned} songs are too few to learn from"
    # Whoever sets no songs aside wants the encoder as it is.
    return draw_judges(songs, kept=kept, seed=settings.seed).why_not if settings.expert.gate_share else ""


def _untrained(songs: Songs, values: Encodings, *, kept: Bools, reason: str) -> Trained:
    """Return what compares the z-scored values themselves."""
    log.info("quality could not be judged: %s; features are compared, no encoder is trained", reason)
    encodings = SongEncodings(values)
    center = np.zeros(len(encodings.input_names))
    encoder = make_linear(Affine(center, np.eye(len(center))))
    inputs = encode_songs(raw_songs(songs.labeled, with_texts=False), encodings=encodings)
    return Trained(encoder, encodings, inputs, None, kept, [], "none", why_untrained=reason)


def _checkpoints(context: Context) -> Checkpoints:
    """Return where trainings are kept: with the run, and looked for among those that failed."""
    root, model = context.run.root, context.run.place(datasets.MODEL)

    def models() -> list[Store]:
        return [root.work(run_id).below(datasets.MODEL.name) for run_id in root.works()]

    def read(name: str) -> bytes | None:
        return artifacts.find_checkpoint(models(), name=name)

    def set_aside(name: str, why: str) -> None:
        where = artifacts.set_aside_checkpoint(models(), name=name)
        log.warning("training starts anew: the checkpoint of a run that failed is set aside (%s): %s", why, where)

    return Checkpoints(
        read,
        lambda name, content: artifacts.save_checkpoint(model, name=name, content=content),
        on_restored=lambda: log.info("going on with the training of a run that failed"),
        on_broken=set_aside,
    )


def _log_epoch(epoch: Epoch) -> None:
    log.debug(
        "epoch %2d  loss %.4f  held-out score %.4f  %.1f s%s",
        epoch.number,
        epoch.loss,
        epoch.held_out_score,
        epoch.seconds,
        "  best" if epoch.best else "",
    )


def _cost(history: list[Epoch], settings: ModelConfig) -> dict[str, Any]:
    """Return what training took; the driver's peak is that of its Python so far, samples and gate included."""
    peak, device = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, find_device(settings.device)
    cost = {
        "device": device.type,
        "seconds": round(sum(epoch.seconds for epoch in history), 2),
        # macOS counts bytes, Linux kibibytes.
        "driver_peak_memory_bytes": peak if sys.platform == "darwin" else 1024 * peak,
    }
    if device.type == "cuda":
        cost["device_peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return cost


def _as_line(epoch: Epoch) -> dict[str, float | bool | None]:
    held_out = None if np.isnan(epoch.held_out_score) else round(epoch.held_out_score, 6)
    return {
        "epoch": epoch.number,
        "loss": round(epoch.loss, 6),
        "held_out_score": held_out,
        "best": epoch.best,
    }

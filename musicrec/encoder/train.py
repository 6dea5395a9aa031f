"""Sample, fit, train, embed: tracks → embeddings."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from musicrec.arrays import Doubles
from musicrec.catalog.clean import Catalog
from musicrec.config import ModelConfig
from musicrec.context import Context, log
from musicrec.encoder import labels
from musicrec.encoder.gate import Choice, choose_encoder
from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.checkpoint import Checkpoints
from musicrec.encoder.learning.inputs import Encodings, fit_encodings
from musicrec.encoder.learning.learner import find_device
from musicrec.encoder.learning.model import as_files, make_linear
from musicrec.encoder.learning.training import Epoch, train_encoder
from musicrec.encoder.sample import Songs, sample_songs
from musicrec.encoder.training_set import make_training_set, optional_inputs
from musicrec.storage import artifacts, plain

MODEL = "model"


@dataclass(frozen=True)
class Learned:
    """The encoder's files, what it was fitted on, how training went, and the files of its rival at the gate."""

    weights: bytes
    description: bytes
    encodings: Encodings
    raw_sample: Doubles
    history: list[Epoch]
    rival: tuple[bytes, bytes] | None


@dataclass(frozen=True)
class Fitted:
    """What is shipped, and how it came about."""

    choice: Choice
    encodings: Encodings
    history: list[Epoch]
    objective: str


def learn(context: Context, catalog: Catalog) -> Learned:
    """Fit the encodings and train the encoder on a sample; save both with their digests."""
    settings = context.config.model
    songs = sample_songs(
        context.session,
        catalog.tracks,
        context.config,
        n_tracks=catalog.n_tracks,
        sample_size=settings.sample_size,
    )
    if songs.memberships is not None:
        context.record["inputs"]["playlists"] = plain.without_secrets(context.config.input.playlists)
        context.record["counts"]["n_sampled_memberships"] = songs.memberships.num_rows
    fitted = _fit(songs, settings, _checkpoints(context))
    artifacts.drop_checkpoints(context.run.work / MODEL)
    weights, description = as_files(fitted.choice.encoder, encodings=fitted.encodings)
    digests = artifacts.save_encoder(context.run.work / MODEL, weights=weights, description=description)
    context.record["model"] = {
        "objective": fitted.objective,
        "inputs": list(fitted.encodings.input_names),
        "n_sampled": songs.labeled.num_rows,
        "architecture": asdict(fitted.choice.encoder.architecture),
        "sha256": digests,
        "history": [_as_line(epoch) for epoch in fitted.history],
        **({"training": _cost(fitted.history, settings)} if fitted.history else {}),
        "gate": fitted.choice.figures,
    }
    rival = fitted.choice.rival
    rival_files = as_files(rival, encodings=fitted.encodings) if rival else None
    return Learned(weights, description, fitted.encodings, songs.raw, fitted.history, rival_files)


def _checkpoints(context: Context) -> Checkpoints:
    """Return where trainings are kept: with the run, and looked for among those that failed."""
    work, model = context.run.root.work, context.run.work / MODEL

    def read(name: str) -> bytes | None:
        kept = artifacts.find_checkpoint((run / MODEL for run in work.iterdir()), name=name)
        if kept is not None:
            log.info("             going on with the training of a run that failed")
        return kept

    return Checkpoints(read, lambda name, content: artifacts.save_checkpoint(model, name=name, content=content))


def _fit(songs: Songs, settings: ModelConfig, checkpoints: Checkpoints) -> Fitted:
    """Train on most of the artists, and ship what is best on the others."""
    optional, kept = optional_inputs(settings, songs), ~labels.is_at_gate(songs.labeled, settings=settings)
    # Whole artists are set aside: of very few artists that may be all songs.
    n_songs = int((kept & ~labels.is_validation(songs.labeled, settings=settings)).sum())
    if n_songs < settings.expert.min_songs:
        log.info("             %d songs are too few to learn from: features are compared", n_songs)
        encodings = fit_encodings(songs.raw, optional=optional)
        center = np.zeros(len(encodings.input_names))
        untrained = make_linear(Affine(center, np.eye(len(center))))
        reason = f"{n_songs} songs are too few to learn from"
        choice = Choice(untrained, None, {"shipped": "z-scored inputs", "reason": reason})
        return Fitted(choice, encodings, [], "none")
    encodings, inputs, learned, objective = make_training_set(songs, settings, optional=optional, kept=kept)
    encoder, history = train_encoder(learned, settings=settings, on_epoch=_log_epoch, checkpoints=checkpoints)
    names = encodings.source_names
    choice = choose_encoder(encoder, songs, inputs, learned, kept=kept, names=names, seed=settings.seed)
    return Fitted(choice, encodings, history, objective)


def _log_epoch(epoch: Epoch) -> None:
    log.info(
        "             epoch %2d  loss %.4f  held-out score %.4f  %.1f s%s",
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

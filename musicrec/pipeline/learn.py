"""Sample, fit, train, embed: tracks → embeddings."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame

from musicrec import schemas
from musicrec.algorithms.encoder import Encoder, as_files, make_untrained
from musicrec.algorithms.encodings import Encodings, encode, fit_encodings
from musicrec.algorithms.training import Epoch, train_encoder
from musicrec.config import ModelConfig
from musicrec.pipeline.context import Context, log
from musicrec.pipeline.ingest import Catalog, read_relation
from musicrec.stages import embed, features, sample, train
from musicrec.storage import artifacts, publish, tables


@dataclass(frozen=True)
class Learned:
    """The encoder's files, what it was fitted on and how training went."""

    weights: bytes
    description: bytes
    encodings: Encodings
    raw_sample: NDArray[np.float64]
    history: list[Epoch]


def fit_sample(context: Context, catalog: Catalog) -> tuple[pa.Table, DataFrame]:
    """Return the labeled sample of songs by rising key, and the same as a DataFrame."""
    settings = context.config.model
    drawn = sample.keep_sample(
        catalog.tracks,
        key="track_key",
        n_rows=catalog.n_tracks,
        sample_size=settings.sample_size,
        seed=settings.seed,
    )
    labeled = train.as_labeled(drawn, seed=settings.seed)
    return train.sort_by_key(labeled.toArrow()), labeled


def learn(context: Context, catalog: Catalog) -> Learned:
    """Fit the encodings and train the encoder on a sample; save both with their digests."""
    settings = context.config.model
    table, labeled = fit_sample(context, catalog)
    raw = features.raw_inputs(table)
    encodings = fit_encodings(raw, optional=optional_inputs(settings))
    history: list[Epoch]
    if table.num_rows < settings.min_songs:
        log.info("             %d songs are too few to learn from: features are compared", table.num_rows)
        encoder, history, objective = make_untrained(len(encodings.input_names)), [], "none"
    else:
        encoder, history, objective = _train(context, table, labeled, encodings=encodings, raw=raw)
    weights, description = as_files(encoder, encodings=encodings)
    digests = artifacts.save_encoder(context.run.work / "model", weights=weights, description=description)
    context.record["model"] = {
        "objective": objective,
        "inputs": list(encodings.input_names),
        "n_sampled": table.num_rows,
        "architecture": asdict(encoder.architecture),
        "sha256": digests,
        "history": [_as_line(epoch) for epoch in history],
    }
    return Learned(weights, description, encodings, raw, history)


def embed_catalog(context: Context, catalog: Catalog, learned: Learned) -> DataFrame:
    """Return `schemas.EMBEDDINGS` of all songs, by way of their features."""
    with context.stage("features"):
        vectors = context.materialize(
            features.as_features(catalog.tracks, encodings=learned.encodings),
            "features",
            schema=schemas.FEATURE_VECTORS,
        )
    with context.stage("embed"):
        # Read again and compared with their digests: what embeds the catalog is what was saved.
        digests = context.record["model"]["sha256"]
        weights, description = artifacts.load_encoder(context.run.work / "model", digests=digests)
        return context.materialize(
            embed.as_embeddings(vectors, weights=weights, description=description),
            "embeddings",
            schema=schemas.EMBEDDINGS,
        )


def optional_inputs(settings: ModelConfig) -> list[str]:
    """Return those of `songs.OPTIONAL_INPUTS` that are switched on."""
    switches = {"release_date": settings.use_release_date, "popularity": settings.use_popularity}
    return [name for name, used in switches.items() if used]


def _train(
    context: Context, table: pa.Table, labeled: DataFrame, *, encodings: Encodings, raw: NDArray[np.float64]
) -> tuple[Encoder, list[Epoch], str]:
    settings = context.config.model
    data, objective = train.as_training_set(
        table,
        encode(raw, encodings=encodings),
        layout=encodings.layout,
        memberships=_memberships(context, labeled),
        objective=settings.objective,
        holdout_share=settings.holdout_share,
    )
    log.info("             %d songs, objective: %s", table.num_rows, objective)
    encoder, history = train_encoder(data, settings=settings, on_epoch=_log_epoch)
    return encoder, history, objective


def _memberships(context: Context, labeled: DataFrame) -> pa.Table | None:
    settings = context.config.input
    if not settings.playlists:
        return None
    with tables.input_errors(settings.playlists):
        rows = read_relation(context.session, settings.playlists, owner="playlist_id", settings=settings)
        table = train.as_memberships(rows, songs=labeled).toArrow()
    context.record["inputs"]["playlists"] = publish.without_secrets(settings.playlists)
    context.record["counts"]["n_sampled_memberships"] = table.num_rows
    return train.sort_by_key(table)


def _log_epoch(epoch: Epoch) -> None:
    log.info(
        "             epoch %2d  loss %.4f  held-out score %.4f  %.1f s%s",
        epoch.number,
        epoch.loss,
        epoch.held_out_score,
        epoch.seconds,
        "  best" if epoch.best else "",
    )


def _as_line(epoch: Epoch) -> dict[str, float | bool | None]:
    held_out = None if np.isnan(epoch.held_out_score) else round(epoch.held_out_score, 6)
    return {
        "epoch": epoch.number,
        "loss": round(epoch.loss, 6),
        "held_out_score": held_out,
        "best": epoch.best,
    }

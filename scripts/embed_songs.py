"""Embed a generated catalog as the nightly run does, and stop there: vectors to measure the neighbor join on.

Writes Parquet files (id, vector) and prints how long each stage took, where it is repeated its median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from make_catalog import make_catalog
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from musicrec.catalog.clean import Catalog, write_catalog
from musicrec.catalog.number import write_numbers
from musicrec.catalog.relations import read_relations
from musicrec.config import Config, load_config
from musicrec.context import Context
from musicrec.encoder.artists import write_artists
from musicrec.encoder.embed import write_embeddings
from musicrec.encoder.gate import Shipped, write_encoder
from musicrec.encoder.sample import draw_songs
from musicrec.encoder.train import train
from musicrec.encoder.training_set import fit_kept
from musicrec.launch import open_session
from musicrec.neighbors.start import start_workers
from musicrec.storage import datasets, runs
from musicrec.storage.lease import locked

SEED = 1


def make_ready(session: SparkSession, config: Config) -> tuple[Context, Catalog, Shipped]:
    """Clean the configured catalog, and train its encoder."""
    root = runs.open_root(config.output.root)
    context = Context(session, config, runs.start_run(root, run_date=datetime.now(UTC).date()))
    playlists = read_relations(session, config.input).playlists
    catalog = write_catalog(context)
    songs = draw_songs(context, catalog, write_numbers(context, catalog.ordered), playlists)
    values = fit_kept(songs, config.model)
    trained = train(context, songs, values, write_artists(context, catalog, values))
    return context, catalog, write_encoder(context, songs, trained)


def embed(session: SparkSession, config: Config, output: Path, *, repeats: int) -> Context:
    """Clean, train and embed the configured catalog, write its vectors and return what happened."""
    with locked(runs.open_root(config.output.root)):
        context, catalog, shipped = make_ready(session, config)
        for _ in range(repeats):
            start_workers(context)
            write_embeddings(context, catalog, shipped)
        vectors = context.read(datasets.EMBEDDINGS).select(
            F.col("track_key").alias("id"), F.col("embedding").alias("vector")
        )
        vectors.write.parquet(str(output))
    return context


def main() -> int:
    """Parse the command line, make the catalog, embed it and print what each stage took."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--songs", type=int, required=True, metavar="N")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="must not exist")
    parser.add_argument("--driver-memory", default="8g", metavar="SIZE")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="embed so many times")
    arguments = parser.parse_args()
    if arguments.output.exists():
        parser.error(f"{arguments.output} exists")
    parent = arguments.output.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="musicrec-embed-", dir=parent) as scratch:
        catalog = Path(scratch) / "catalog"
        make_catalog(catalog, n_songs=arguments.songs, seed=SEED, file_format="parquet")
        overrides = [
            f"input.tracks={catalog / 'tracks'}",
            f"input.playlists={catalog / 'playlists'}",
            f"output.root={Path(scratch) / 'root'}",
            f"spark.driver_memory={arguments.driver_memory}",
            # No gate: whatever is better on these playlists, the join is measured on vectors of an encoder.
            "model.expert.gate_share=0",
        ]
        config = load_config(overrides=overrides)
        session = open_session(config.spark, app_name="embed songs")
        try:
            context = embed(session, config, arguments.output, repeats=arguments.repeats)
        finally:
            session.stop()
    for name in dict.fromkeys(stage["stage"] for stage in context.stages):
        seconds = statistics.median(stage["seconds"] for stage in context.stages if stage["stage"] == name)
        print(f"{name:<12} {seconds:7.1f} s  {arguments.songs / max(seconds, 0.01):12,.0f} songs/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

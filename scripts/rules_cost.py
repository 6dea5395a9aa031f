"""What rules cost the neighbor join: the same generated songs, with the default rules and with none, in turn.

Prints the seconds of each join, and the medians with their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from embed_songs import SEED, make_ready
from make_catalog import make_catalog

from musicrec.catalog.clean import Catalog
from musicrec.config import load_config
from musicrec.config_lists import NO_RULES
from musicrec.context import Context
from musicrec.encoder.embed import write_embeddings
from musicrec.encoder.gate import Shipped
from musicrec.launch import open_session
from musicrec.neighbors.cells import write_cells
from musicrec.neighbors.join import write_neighbors
from musicrec.neighbors.plan import plan_cells
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.start import start_workers
from musicrec.neighbors.truth import find_truth
from musicrec.neighbors.tune import tune_family


def join(context: Context, catalog: Catalog, shipped: Shipped) -> tuple[float, float]:
    """Join all songs once, and return how many seconds that took, and the recall."""
    start_workers(context)
    packed = write_embeddings(context, catalog, shipped)
    cells = write_cells(
        context, packed, plan_cells(context, packed.sample, n_songs=catalog.n_tracks, space=Space())
    )
    truth = find_truth(context, cells)
    found = write_neighbors(context, cells, tune_family(context, cells, truth), truth)
    (seconds,) = [stage["seconds"] for stage in context.stages[-1:] if stage["stage"] == "join"]
    return seconds, found["recall_at_k"]


def main() -> int:
    """Parse the command line, join in turn, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--songs", type=int, required=True, metavar="N")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="join so many times each way")
    parser.add_argument("--driver-memory", default="8g", metavar="SIZE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="musicrec-rules-") as scratch:
        catalog = Path(scratch) / "catalog"
        make_catalog(catalog, n_songs=arguments.songs, seed=SEED, file_format="parquet")
        given = load_config(
            overrides=[
                f"input.tracks={catalog / 'tracks'}",
                f"input.playlists={catalog / 'playlists'}",
                f"output.root={Path(scratch) / 'root'}",
                f"spark.driver_memory={arguments.driver_memory}",
                # No gate: rules are compared on vectors of one encoder.
                "model.expert.gate_share=0",
            ]
        )
        session = open_session(given.spark, app_name="cost of rules")
        try:
            ways = {"default rules": given, "no rules": given.model_copy(update={"lists": NO_RULES})}
            ready = {name: make_ready(session, config) for name, config in ways.items()}
            took: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(arguments.repeats):
                # Who is first takes turns, too.
                for name, prepared in [*ready.items()][:: (-1) ** turn]:
                    seconds, recall = join(*prepared)
                    took[name].append(seconds)
                    print(f"{name:<14} {seconds:6.1f} s  recall {recall:.4f}", flush=True)
        finally:
            session.stop()
    with_rules, without = (statistics.median(took[name]) for name in ways)
    print(f"medians {with_rules:.1f} s and {without:.1f} s: {with_rules / without:.2f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())

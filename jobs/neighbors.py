"""The neighbor join alone: ids and vectors in, the k nearest of each out."""

from __future__ import annotations

import argparse
import sys

from musicrec.launch import make_parser, run_job
from musicrec.vectors.join import join_vectors
from musicrec.vectors.read import VectorsInput


def main() -> int:
    """Parse the command line, run, and return the exit code."""
    parser = make_parser("Write the k nearest neighbors of each vector, and a report with the measured recall.")
    parser.add_argument("--vectors", required=True, metavar="DIR", help="Parquet with an id and a vector column")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets neighbors/*.parquet and report.json")
    parser.add_argument("--k", type=int, metavar="K", help="neighbors per vector; 10 by default")
    parser.add_argument(
        "--target-recall", type=float, metavar="SHARE", help="share of the true nearest; 0.98 by default"
    )
    parser.add_argument("--metric", choices=("cosine", "dot", "euclidean"), default="cosine")
    parser.add_argument("--id-column", default="id", metavar="NAME", help="string or whole number")
    parser.add_argument("--vector-column", default="vector", metavar="NAME", help="array of float or double")
    parser.add_argument("--overwrite", action="store_true", help="replace what the output holds")
    arguments = parser.parse_args()
    arguments.overrides += as_overrides(arguments)
    source = VectorsInput(arguments.vectors, arguments.id_column, arguments.vector_column, arguments.metric)
    return run_job(
        arguments,
        lambda session, config: print(join_vectors(session, config, source, overwrite=arguments.overwrite)),
        name="musicrec neighbors",
    )


def as_overrides(arguments: argparse.Namespace) -> list[str]:
    """Return the job's own arguments as the configuration keys that they are."""
    named = {"k": arguments.k, "target_recall": arguments.target_recall}
    settings = [f"neighbors.{key}={value}" for key, value in named.items() if value is not None]
    return [*settings, f"output.root={arguments.output}"]


if __name__ == "__main__":
    sys.exit(main())

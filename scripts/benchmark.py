"""Measure on generated songs, and print Markdown tables, or write them into a section of a document.

`refresh` gives wall and CPU time, Spark jobs, shuffle and peak memory of each stage of the nightly run, and draws
them as a flame graph. `stores` compares a directory with stores of objects, and `neighbors` the join with its
peers (scripts/peers.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comparison import OURS, Outcome, Task, load_task, run_all
from comparison_table import table_lines
from nightly import make_catalog, night_lines, profile_night, run_night
from peers import PACKAGES, PEERS
from store_costs import measure_places, place_lines
from vector_sets import MAKERS, SONG_LIKE, make_data

from musicrec.errors import MusicrecError
from musicrec.storage.origin import find_origin
from musicrec.storage.sections import DocumentSection, open_section


def refresh(arguments: argparse.Namespace) -> int:
    """Time the nightly run on a generated catalog."""
    section = _section(arguments)
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        memory, catalog = arguments.driver_memory, _catalog(arguments, Path(scratch))
        nights = [
            run_night(
                catalog,
                f"{scratch}/run-{i}",
                events=Path(scratch) / f"events-{i}",
                memory=memory,
                overrides=arguments.overrides,
            )
            for i in range(arguments.repeats)
        ]
        if arguments.profile:
            profile_night(
                catalog, f"{scratch}/profiled", arguments.profile, memory=memory, overrides=arguments.overrides
            )
    text = "\n".join(night_lines(nights, n_songs=arguments.songs, memory=memory))
    print(f"\n{text}")
    if section:
        section.write(text)
    return 0


def stores(arguments: argparse.Namespace) -> int:
    """Time the nightly run in several places, in turn, and what operators ask of each."""
    section = _section(arguments)
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        catalog = _catalog(arguments, Path(scratch))
        found = measure_places(
            catalog, arguments.places, Path(scratch), repeats=arguments.repeats, memory=arguments.driver_memory,
            n_versions=arguments.versions,
        )  # fmt: skip
    text = "\n".join(place_lines(found, n_songs=arguments.songs, n_versions=arguments.versions))
    print(f"\n{text}")
    if section:
        section.write(text)
    return 0


def _catalog(arguments: argparse.Namespace, scratch: Path) -> Path:
    catalog: Path = (arguments.keep or scratch) / f"catalog-{arguments.songs}"
    if not catalog.exists():
        # Under another name until it is whole.
        part = catalog.with_name(f"{catalog.name}.part")
        make_catalog(part, n_songs=arguments.songs)
        part.rename(catalog)
    return catalog


def neighbors(arguments: argparse.Namespace) -> int:
    """Compare the neighbor join with its peers on each data set; return 1 where ours failed."""
    packages = [PACKAGES[name] for name in arguments.peers]
    origin, section = find_origin(sys.argv, packages=packages), _section(arguments, packages)
    figures: list[dict[str, Any]] = []
    texts: list[str] = []
    with tempfile.TemporaryDirectory(prefix="musicrec-benchmark-") as scratch:
        for name in [arguments.vectors.name] if arguments.vectors else arguments.data:
            task = load_task(_directory(name, arguments, Path(scratch)), arguments)
            outcomes = run_all(task, arguments.peers, repeats=arguments.repeats)
            texts.append(_described(name, task, outcomes, repeats=arguments.repeats))
            print(f"\n{texts[-1]}", flush=True)
            figures.append({"data": name, "n": len(task.ids), "outcomes": [asdict(each) for each in outcomes]})
            # After each set: the next may take hours.
            if section:
                section.write("\n\n".join(texts))
            if arguments.output:
                report = {**asdict(origin), "threads": task.n_threads, "k": task.k, "sets": figures}
                arguments.output.write_text(json.dumps(report, indent=2) + "\n")
    failed = any(each["method"] == OURS and "reason" in each for one in figures for each in one["outcomes"])
    return int(failed)


def _section(arguments: argparse.Namespace, packages: Sequence[str] = ()) -> DocumentSection | None:
    if not arguments.write:
        return None
    return open_section(arguments.write, arguments.section, packages=packages)


def _directory(name: str, arguments: argparse.Namespace, scratch: Path) -> Path:
    if arguments.vectors:
        given: Path = arguments.vectors
        return given
    directory = (arguments.keep or scratch) / f"{name}-{arguments.songs}"
    return make_data(name, directory, n_songs=arguments.songs, memory=arguments.driver_memory)


def _described(name: str, task: Task, outcomes: list[Outcome], *, repeats: int) -> str:
    lines = [
        f"{name}: {len(task.ids):,} vectors of {task.matrix.shape[1]} floats, {task.n_threads} threads, "
        f"{len(task.truth.rows):,} queries judged, median of {repeats} run(s)",
        "",
        *table_lines(outcomes, k=task.k),
    ]
    return "\n".join(lines)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return names

    return parse


def _shares(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure on generated songs.", allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--songs", type=int, default=1_000_000, metavar="N")
    shared.add_argument("--repeats", type=int, default=1, metavar="N")
    shared.add_argument("--driver-memory", default="8g", metavar="SIZE")
    shared.add_argument("--keep", type=Path, metavar="DIR", help="leave made data here and use what is here")
    shared.add_argument("--write", metavar="FILE", help="replace a section of this document, too")

    nightly = commands.add_parser("refresh", parents=[shared], help="time the nightly run, stage by stage")
    nightly.add_argument("--section", default="nightly", metavar="NAME", help="nightly by default")
    nightly.add_argument("--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE")
    nightly.add_argument(
        "--profile", type=Path, metavar="FILE", help="run once more and write a flame graph of Python, an SVG"
    )
    nightly.set_defaults(run=refresh)

    several = commands.add_parser("stores", parents=[shared], help="time the nightly run in several places")
    several.add_argument("--section", default="stores", metavar="NAME", help="stores by default")
    several.add_argument(
        "--places", type=lambda text: text.split(","), required=True, metavar="URI,...",
        help="new roots, the one that others are compared with first",
    )  # fmt: skip
    several.add_argument("--versions", type=int, default=1000, metavar="N", help="length of the history")
    several.set_defaults(run=stores)

    join = commands.add_parser("neighbors", parents=[shared], help="compare the neighbor join with its peers")
    _add_join_options(join)
    join.set_defaults(run=neighbors)
    arguments = parser.parse_args(words)
    if arguments.write and not arguments.section:
        join.error("--write needs --section NAME")
    return arguments


def _add_join_options(join: argparse.ArgumentParser) -> None:
    join.add_argument("--section", metavar="NAME", help="the section that --write replaces")
    join.add_argument(
        "--data", type=_names([SONG_LIKE, *MAKERS]), default=[SONG_LIKE], metavar="NAME,...",
        help=f"of {', '.join([SONG_LIKE, *MAKERS])}",
    )  # fmt: skip
    join.add_argument("--vectors", type=Path, metavar="DIR", help="Parquet (id, vector) instead of made data")
    join.add_argument("--recalls", type=_shares, default=[0.95, 0.98, 0.99], metavar="SHARE,...")
    join.add_argument(
        "--peers", type=_names([*PEERS]), default=["hnswlib", "faiss-ivf", "faiss-hnsw", "brute"],
        metavar="NAME,...", help=f"of {', '.join(PEERS)}",
    )  # fmt: skip
    join.add_argument("--k", type=int, default=10)
    join.add_argument("--threads", type=int, default=2, metavar="N")
    join.add_argument(
        "--peer-limit", type=float, default=3600, metavar="SECONDS",
        help="the longest that a peer may try settings",
    )  # fmt: skip
    join.add_argument("--output", type=Path, metavar="FILE", help="raw figures as JSON")


def main() -> int:
    """Parse the command line, measure, print and write."""
    arguments = parse()
    try:
        result: int = arguments.run(arguments)
    except MusicrecError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return result


if __name__ == "__main__":
    sys.exit(main())

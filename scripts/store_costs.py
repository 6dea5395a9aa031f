"""What a place of the output costs: the nightly run in several places, in turn, and the commands of operators."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from nightly import Night, run_night
from watching import GIB, MIB

from musicrec.operations.versions import rollback
from musicrec.storage.history import read_versions
from musicrec.storage.runs import Root, open_root
from musicrec.storage.snapshots import open_snapshot

COMMANDS = ("status", "history", "rollback", "gc --dry-run", "sql --dialect duckdb", "similar")
N_ASKED = 3
COUNTED = "scripts/counted_refresh.py"


@dataclass
class PlaceFigures:
    """A place, its nights, and the seconds that each command took there, in fresh processes."""

    uri: str
    nights: list[Night] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)


def measure_places(
    catalog: Path, places: list[str], scratch: Path, *, repeats: int, memory: str, n_versions: int
) -> list[PlaceFigures]:
    """Run nights in each place, in turn, then ask what operators ask.

    Parameters
    ----------
    catalog : path
        What `make_catalog` wrote.
    places : list of str
        Paths or URIs of new roots.
    scratch : path
    repeats : int
        Nights in each place, two at least: else there is nothing to go back to.
    memory : str
        Of Spark's driver.
    n_versions : int
        How long the history is when commands are timed.
    """
    found = [PlaceFigures(uri) for uri in places]
    for i in range(max(2, repeats)):
        for place in found:
            events, keep = scratch / f"events-{i}-{places.index(place.uri)}", ["output.keep_snapshots=9"]
            night = run_night(catalog, place.uri, events=events, memory=memory, overrides=keep, job=COUNTED)
            place.nights.append(night)
            print(f"{place.uri}, night {i + 1}: {_wall(place.nights[-1]):.1f} s", flush=True)
    for place in found:
        root = open_root(place.uri)
        _lengthen(root, n_versions)
        for command in COMMANDS:
            place.seconds[command] = [_timed(_words(command, root)) for _ in range(N_ASKED)]
    return found


def place_lines(places: list[PlaceFigures], *, n_songs: int, n_versions: int) -> list[str]:
    """Return Markdown tables: medians, and how often that of the first place.

    Parameters
    ----------
    places : list of PlaceFigures
    n_songs, n_versions : int
    """
    first = _median(places[0])
    names = [place.uri.partition("://")[0] if "://" in place.uri else "directory" for place in places]
    lines = [
        f"{n_songs:,} songs, median of {len(places[0].nights)} night(s) in each place, in turn", "",
        "| root | wall, s | of the first | CPU, s | peak memory, GB | read by the driver, MB: published, other |",
        "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, place in zip(names, places, strict=True):
        whole = [night.stages[-1] for night in place.nights]
        cells = (
            name, f"{_median(place):.1f}", f"{_median(place) / first:.2f}",
            f"{statistics.median(each.cpu_s for each in whole):.1f}",
            f"{max(each.peak for each in whole) / GIB:.1f}", _read_by_driver(place),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"A history of {n_versions:,} versions, seconds of a whole process, median of {N_ASKED}:", ""]
    lines += [f"| command | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for command in COMMANDS:
        seconds = [f"{statistics.median(place.seconds[command]):.2f}" for place in places]
        lines.append(f"| {command} | {' | '.join(seconds)} |")
    return lines


def _song_of(root: Root) -> str:
    files = open_snapshot(root).manifest["files"]
    found: str = next(file["first_id"] for file in files if file["path"].startswith("recommendations/"))
    return found


def _wall(night: Night) -> float:
    return night.stages[-1].seconds


def _median(place: PlaceFigures) -> float:
    return statistics.median(map(_wall, place.nights))


def _read_by_driver(place: PlaceFigures) -> str:
    most = [0, 0]
    for night in place.nights:
        told = re.search(r"the driver read (\d+) published bytes, and (\d+) others", night.said)
        if told is None:
            raise SystemExit("the night does not say what its driver has read")
        most = [max(one, int(other)) for one, other in zip(most, told.groups(), strict=True)]
    # Of a directory nothing is counted: files are opened by their paths.
    return ", ".join(f"{n / MIB:.3f}" for n in most) if "://" in place.uri else "-"


def _lengthen(root: Root, n_versions: int) -> None:
    """Go to and fro until there are so many versions."""
    for _ in range(next(read_versions(root)).number, n_versions):
        rollback(root, to=_other_run(root))


def _other_run(root: Root) -> str:
    """Return a run that is not live."""
    live = open_snapshot(root).run_id
    return next(run_id for run_id in root.snapshots() if run_id != live)


def _words(command: str, root: Root) -> list[str]:
    more = {"similar": lambda: [_song_of(root)], "rollback": lambda: ["--to", _other_run(root)]}
    return [*command.split(), *more.get(command, list)(), "--root", root.uri]


def _timed(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "musicrec", *words], check=True, capture_output=True)
    return time.perf_counter() - started

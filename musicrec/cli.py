"""The `musicrec` command: look at what was published, check the machine. Starts no JVM."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from musicrec.errors import ConfigError, InputError, StorageError
from musicrec.launch import exit_code_of
from musicrec.songs import bare_id
from musicrec.storage.runs import Root, check_writable, current_snapshot, open_root, read_pointer

MIN_JAVA, MIN_PYTHON = 17, (3, 11)
PACKAGES = ("pyspark", "numpy", "scipy", "numba", "pandas", "pyarrow", "torch", "safetensors", "pydantic")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was checked, what was found, and how to mend it where it is not fine."""

    name: str
    found: str
    fix: str = ""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="musicrec", description="Query recommendations, check the machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    similar = commands.add_parser("similar", help="print the published recommendations of a song")
    similar.add_argument("track_id")
    similar.add_argument("--root", required=True, metavar="DIR", help="output.root of the refresh")
    similar.add_argument("-k", type=int, default=10, help="how many (10)")
    doctor = commands.add_parser("doctor", help="check Java, Python, versions and write access")
    doctor.add_argument("--root", metavar="DIR", help="also check that this directory can be written")
    parsed = parser.parse_args(arguments)
    if parsed.command == "similar" and parsed.k < 1:
        parser.error("-k must be at least 1")
    if parsed.command == "doctor":
        return _print_findings(examine(parsed.root))
    return exit_code_of(lambda: _print_similar(parsed.track_id, parsed.root, parsed.k), debug=False)


def find_similar(track_id: str, root: Root, *, k: int) -> list[dict[str, Any]]:
    """Return the published list of a song: `rank, recommended_track_id, score, title, artist`.

    Titles come from the run's work directory; they are None where that is gone.

    Raises
    ------
    InputError
        The song is unknown, or has no recommendations and why.
    StorageError
        Nothing is published.
    """
    snapshot = current_snapshot(root)
    bare = bare_id(track_id)
    wanted = (pc.field("track_id") == bare) & (pc.field("rank") <= k)
    rows = _rows(snapshot / "recommendations", wanted)
    if not rows:
        _explain_absence(bare, snapshot)
    names = find_names([row["recommended_track_id"] for row in rows], root)
    return [{**row, **names.get(row["recommended_track_id"], {"title": None, "artist": None})} for row in rows]


def find_names(track_ids: list[str], root: Root) -> dict[str, dict[str, str | None]]:
    """Return title and artist by id, of those that the current run's tracks still tell."""
    tracks = root.work / str(read_pointer(root)["run_id"]) / "tracks"
    if not tracks.is_dir():
        return {}
    rows = _rows(tracks, pc.field("track_id").isin(track_ids), columns=["track_id", "title", "artist"])
    return {row["track_id"]: {"title": row["title"], "artist": row["artist"]} for row in rows}


def examine(root: str | None) -> list[Finding]:
    """Return what the machine has of what a run needs."""
    findings = [_java(), _python("Python of the driver", sys.executable)]
    findings.append(_python("Python of the workers", os.environ.get("PYSPARK_PYTHON", sys.executable)))
    findings += [_package(name) for name in PACKAGES]
    if root:
        findings.append(_write_access(root))
    return findings


def _rows(directory: Path, wanted: pc.Expression, columns: list[str] | None = None) -> list[dict[str, Any]]:
    table = ds.dataset(sorted(directory.glob("*.parquet"))).to_table(filter=wanted, columns=columns)
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: row.get("rank", 0))


def _explain_absence(track_id: str, snapshot: Path) -> None:
    status = _rows(snapshot / "status", pc.field("track_id") == track_id)
    if not status:
        raise InputError(f"the catalog has no song {track_id!r}", where=str(snapshot), todo="check the id")
    raise InputError(f"the song {track_id!r} has no recommendations: {status[0]['reason']}", where=str(snapshot))


def _print_similar(track_id: str, root: str, k: int) -> None:
    opened = open_root(root)
    rows = find_similar(track_id, opened, k=k)
    own = find_names([bare_id(track_id)], opened)
    name = " – ".join(part for song in own.values() for part in (song["title"], song["artist"]) if part)
    # Text, not markup: a title such as "[bold]" is no instruction.
    table = Table("rank", "title", "artist", "track_id", "score", title=Text(name or track_id), box=None)
    for row in rows:
        cells = (row["title"] or "", row["artist"] or "", row["recommended_track_id"])
        table.add_row(str(row["rank"]), *map(Text, cells), f"{row['score']:.4f}")
    console = Console()
    # Through a pipe there is no width to fit: whole ids, for other programs to read.
    console = console if console.is_terminal else Console(width=240)
    console.print(table)


def _print_findings(findings: list[Finding]) -> int:
    console = Console(soft_wrap=True)
    for finding in findings:
        mark = "[green]ok  [/green]" if not finding.fix else "[red]bad [/red]"
        console.print(mark, Text(f"{finding.name}: {finding.found}"))
        if finding.fix:
            console.print("     fix:", Text(finding.fix))
    return 2 if any(finding.fix for finding in findings) else 0


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    fix = f"install a Java runtime {MIN_JAVA} or newer (bash scripts/setup.sh does), or set JAVA_HOME"
    if not java:
        return Finding("Java", "not found", fix)
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    version = re.search(r'version "(\d+)', text)
    found = version.group(1) if version else "unknown version"
    return Finding("Java", f"{found} ({java})", "" if version and int(found) >= MIN_JAVA else fix)


def _python(name: str, executable: str) -> Finding:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    fix = "set PYSPARK_PYTHON to the python of the virtual environment, on every machine"
    try:
        found = subprocess.run(  # noqa: S603 - the executable that Spark would start
            [executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return Finding(name, f"{executable} does not start", fix)
    version = tuple(int(part) for part in found.split("."))
    fits = version >= MIN_PYTHON and version == sys.version_info[:2]
    return Finding(name, f"{found} ({executable})", "" if fits else fix)


def _package(name: str) -> Finding:
    needs = [need for need in importlib.metadata.requires("musicrec") or [] if re.match(rf"{name}\b", need)]
    wanted = needs[0].removeprefix(name) if needs else ""
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", f'pip install "{name}{wanted}"')
    fits = SpecifierSet(wanted).contains(found, prereleases=True)
    return Finding(name, f"{found} (wanted {wanted})", "" if fits else f'pip install "{name}{wanted}"')


def _write_access(root: str) -> Finding:
    try:
        check_writable(open_root(root))
    except (ConfigError, StorageError) as error:
        return Finding("write access", f"{error.what}: {error.where or root}", error.todo)
    return Finding("write access", root)


if __name__ == "__main__":
    sys.exit(main())

"""Ask what was published, without Spark: the list of a song, and the names of songs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import BinaryIO, NoReturn, TypedDict

from musicrec.errors import InputError, StorageError
from musicrec.shown import without_controls
from musicrec.songs import bare_id
from musicrec.storage import lookup
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS, TRACKS
from musicrec.storage.ranged import open_ranged
from musicrec.storage.runs import AGAIN, Root, open_root
from musicrec.storage.snapshots import Snapshot, Verifier, open_snapshot
from musicrec.storage.stores import MissingError


class SongName(TypedDict):
    """How people call a song; None where it is not known."""

    title: str | None
    artist: str | None


class Recommendation(SongName):
    """A place of a song's list; title and artist are those of the recommended song."""

    track_id: str
    rank: int
    recommended_track_id: str
    score: float


UNKNOWN: SongName = {"title": None, "artist": None}


def similar(root: str, track_id: str, k: int = 10) -> list[Recommendation]:
    """Return the published recommendations of a song, the best first; what a notebook calls.

    Parameters
    ----------
    root : str
        `output.root` of the refresh.
    track_id : str
        Also with what may stand before an id, such as `spotify:track:`.
    k : int
        How many at most, at least 1.

    Raises
    ------
    InputError
        The song is unknown, or has no recommendations and why.
    StorageError
        Nothing is published, or it is not what was published.
    """
    return find_similar(track_id, open_root(str(root)), k=k)


def find_similar(track_id: str, root: Root, *, k: int) -> list[Recommendation]:
    """Return the first k places of a song's published list.

    Titles come from the run's work directory; they are None where that is gone.

    Parameters
    ----------
    track_id : str
    root : Root
    k : int

    Raises
    ------
    InputError
        The song is unknown, or has no recommendations and why.
    StorageError
        Nothing is published, or it is not what was published.
    """
    if k < 1:
        raise InputError(f"k must be at least 1, found {k}")
    bare = bare_id(track_id)
    snapshot = open_snapshot(root)
    if snapshot.store.path() is not None:
        snapshot.check_sizes()
    verifier = Verifier(snapshot)
    lists = _that_may_hold(bare, snapshot.names(RECOMMENDATIONS), snapshot)
    verifier.check_small(lists)
    found = lookup.find_rows(lists, verifier.open, column="track_id", values=[bare], where=snapshot.store.uri)
    if not found:
        _explain_absence(bare, snapshot, verifier)
    rows = sorted((row for row in found if row["rank"] <= k), key=lambda row: row["rank"])
    names = _names([row["recommended_track_id"] for row in rows], root, snapshot)
    listed: list[Recommendation] = [
        {
            "track_id": row["track_id"],
            "rank": row["rank"],
            "recommended_track_id": row["recommended_track_id"],
            "score": row["score"],
            **names.get(row["recommended_track_id"], UNKNOWN),
        }
        for row in rows
    ]
    return listed


def find_names(track_ids: Sequence[str], root: Root) -> dict[str, SongName]:
    """Return title and artist by id, of those that the current run's tracks still tell."""
    return _names(track_ids, root, open_snapshot(root))


def _names(track_ids: Sequence[str], root: Root, snapshot: Snapshot) -> dict[str, SongName]:
    tracks = root.work(snapshot.run_id).below(TRACKS.name)
    # Tracks are in the same ranges of ids as what is published of them, under the same names.
    published = snapshot.names(STATUS)
    likely = {name for track_id in set(track_ids) for name in _that_may_hold(track_id, published, snapshot)}
    sizes: dict[str, int] = {}
    for name in sorted(name.rpartition("/")[2] for name in likely):
        with contextlib.suppress(MissingError):
            sizes[name] = tracks.stat(name).n_bytes
    columns = ["track_id", "title", "artist"]

    def opened(name: str) -> BinaryIO:
        return open_ranged(tracks, name, n_bytes=sizes[name])

    rows = lookup.find_rows(
        list(sizes), opened, column="track_id", values=track_ids, columns=columns, where=tracks.uri
    )
    return {row["track_id"]: {"title": row["title"], "artist": row["artist"]} for row in rows}


def _that_may_hold(track_id: str, names: Sequence[str], snapshot: Snapshot) -> list[str]:
    """Return the files between whose first and last id an id lies, as far as the manifest tells."""
    told = {each["path"]: (each.get("first_id"), each.get("last_id")) for each in snapshot.manifest["files"]}
    known = {name: ends for name, ends in told.items() if None not in ends}
    return [name for name in names if name not in known or known[name][0] <= track_id <= known[name][1]]


def print_similar(track_id: str, root: str, *, k: int) -> None:
    """Print the list of a song as a table; it raises as `find_similar`.

    Parameters
    ----------
    track_id, root : str
    k : int
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    opened = open_root(root)
    rows = find_similar(track_id, opened, k=k)
    own = find_names([bare_id(track_id)], opened).values()
    name = " – ".join(part for song in own for part in (song["title"], song["artist"]) if part)
    # Text, not markup: a title such as "[bold]" is no instruction, and neither is an escape sequence.
    title = Text(without_controls(name or track_id))
    table = Table("rank", "title", "artist", "track_id", "score", title=title, box=None)
    for row in rows:
        cells = (row["title"] or "", row["artist"] or "", row["recommended_track_id"])
        texts = (Text(without_controls(" ".join(cell.split()))) for cell in cells)
        table.add_row(str(row["rank"]), *texts, f"{row['score']:.4f}")
    console = Console()
    # Through a pipe there is no width to fit: whole ids, for other programs to read.
    console = console if console.is_terminal else Console(width=240)
    console.print(table)


def _explain_absence(track_id: str, snapshot: Snapshot, verifier: Verifier) -> NoReturn:
    where = snapshot.store.uri
    files = _that_may_hold(track_id, snapshot.names(STATUS), snapshot)
    verifier.check_small(files)
    status = lookup.find_rows(files, verifier.open, column="track_id", values=[track_id], where=where)
    # Where a file is broken, a song may look as if it were not there.
    for name in (*files, *snapshot.names(RECOMMENDATIONS)):
        verifier.check(name)
    if not status:
        raise InputError(f"the catalog has no song {track_id!r}", where=where, todo="check the id")
    reason = status[0]["reason"]
    if reason is None:
        raise StorageError("the song's list is missing from the snapshot", where=where, todo=AGAIN)
    raise InputError(f"the song {track_id!r} has no recommendations: {reason}", where=where)

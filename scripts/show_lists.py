"""Print the lists of a few songs and of a listener from a published snapshot, and where to look further."""

from __future__ import annotations

import subprocess
import sys

from musicrec.query import find_names
from musicrec.storage.datasets import RECOMMENDATIONS, USER_RECOMMENDATIONS
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import REPORT, open_root
from musicrec.storage.snapshots import open_snapshot

N_SONGS = 3


def main(root: str) -> int:
    """Print and return the exit code."""
    opened = open_root(root)
    snapshot = open_snapshot(opened)
    lists, listeners = (
        RowFiles(snapshot.store.below(dataset.name)) for dataset in (RECOMMENDATIONS, USER_RECOMMENDATIONS)
    )
    first = lists.read_piece(lists.pieces()[0], columns=["track_id"])
    track_ids = sorted(set(first["track_id"].to_pylist()))[:N_SONGS]
    for track_id in track_ids:
        print()
        sys.stdout.flush()
        command = [sys.executable, "-m", "musicrec", "similar", track_id, "--root", root, "-k", "5"]
        subprocess.run(command, check=True)
    print_listener(listeners, root)
    print(f"\nlists      {lists.store.uri}\nlisteners  {listeners.store.uri}")
    print(f"report     {snapshot.where(REPORT)}  (open it in a browser)")
    print(f"more       .venv/bin/musicrec similar {track_ids[0]} --root {root}")
    return 0


def print_listener(lists: RowFiles, root: str) -> None:
    """Print the first listener's recommendations and what each is because of."""
    pieces = lists.pieces()
    rows = lists.read_piece(pieces[0]).slice(0, 10).to_pylist() if pieces else []
    if not rows:
        return
    mine = [row for row in rows if row["user_id"] == rows[0]["user_id"]][:5]
    names = find_names([row[key] for row in mine for key in ("track_id", "because_of")], open_root(root))
    print(f"\nfor the listener {rows[0]['user_id']}:")
    for row in mine:
        song, favorite = (
            " ".join((names[row[key]]["title"] or row[key]).split()) for key in ("track_id", "because_of")
        )
        print(f"  {row['rank']}. {song}, because of {favorite}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""A table of mistakes: each ends in at most five lines on stderr, with its exit code, and nobody is surprised.

All run in this process, in the session of the tests; what Java says beside them is the matter of `test_jobs`.
"""

import fcntl
import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from musicrec.cli import main
from tests.conftest import SONG, make_songs

QUICK = [
    "model.n_epochs=1", "model.hidden_layers=[8]", "model.embedding_dim=4", "model.expert.min_songs=100",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A directory with good songs in it, to make mistakes in."""

    at: Path

    def write(self, name: str, content: str | bytes) -> str:
        path = self.at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def directory(self, name: str) -> str:
        (self.at / name).mkdir()
        return str(self.at / name)

    def songs(self, name: str = "songs.csv", *, n: int = 30, drop: tuple[str, ...] = (), **columns: object) -> str:
        songs = make_songs(n, **columns).drop(columns=list(drop))
        path = self.at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        songs.to_parquet(path) if name.endswith("parquet") else songs.to_csv(path, index=False)
        return str(path)

    def vectors(self, name: str = "vectors", **columns: list) -> str:
        path = self.at / name
        path.mkdir()
        ids = columns.pop("id", [f"v{i}" for i in range(20)])
        vector = columns.pop("vector", [[float(i + 1), float(i % 3), 1.0] for i in range(len(ids))])
        pq.write_table(pa.table({"id": ids, "vector": vector, **columns}), path / "a.parquet")
        return str(path)


def refresh(place: Place, tracks: str | None = None, *overrides: str, dry: bool = False) -> list[str]:
    tracks = place.songs() if tracks is None else tracks
    settings = [*QUICK, f"input.tracks={json.dumps(tracks)}", f"output.root={place.at / 'out'}", *overrides]
    command = ["refresh", *(["--dry-run"] if dry else [])]
    return [*command, *(part for setting in settings for part in ("--set", setting))]


def neighbors(place: Place, vectors: str, *more: str) -> list[str]:
    return ["neighbors", "--vectors", vectors, "--output", str(place.at / "nearest"), "--k", "3", *more]


def published(place: Place) -> Path:
    """A root whose pointer and manifest are as they should be, with one list."""
    snapshot = place.at / "out/published/snapshots/2026-01-01-001"
    (snapshot / "recommendations").mkdir(parents=True)
    pointer = {"run_id": "2026-01-01-001", "snapshot": "snapshots/2026-01-01-001", "schema_version": 1,
               "published_at": "2026-01-01T00:00:00+00:00", "manifest_sha256": "0" * 64}  # fmt: skip
    (place.at / "out/published/current.json").write_text(json.dumps(pointer))
    return place.at / "out"


def pointing(**changes: object) -> Callable[[Place], list[str]]:
    def make(place: Place) -> list[str]:
        pointer = published(place) / "published/current.json"
        pointer.write_text(json.dumps(json.loads(pointer.read_text()) | changes))
        return ["similar", "x", "--root", str(place.at / "out")]

    return make


def locked(place: Place) -> list[str]:
    (place.at / "out").mkdir()
    # Held until the test's process ends.
    file = os.open(place.at / "out/run.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(file, fcntl.LOCK_EX)
    return refresh(place)


def gz(place: Place, *, cut: int) -> str:
    packed = gzip.compress(Path(place.songs(n=200)).read_bytes())
    return place.write("cut.csv.gz", packed[:-cut] if cut else packed)


def cut_parquet(place: Place, *, at: slice) -> str:
    content = bytearray(Path(place.songs("songs.parquet")).read_bytes())
    content[at] = b""
    return place.write("songs.parquet", bytes(content))


def csv_of(**columns: object) -> str:
    return make_songs(30, **columns).to_csv(index=False)


def relation(place: Place, name: str, text: str) -> str:
    return f"input.{name}={place.write(f'{name}.csv', text)}"


TWICE = csv_of().replace("artist", "title", 1)
TOO_LONG = csv_of().replace("\n", ",x\n").replace(",x\n", "\n", 1)
NO_HEADER = csv_of().split("\n", 1)[1]
SHARES = ("danceability", "energy", "speechiness", "acousticness", "instrumentalness", "liveness", "valence")

# The mistake, the exit code, and what the message says.
Mistake = tuple[Callable[[Place], list[str]], int, str]
MISTAKES: dict[str, Mistake] = {
    # The command line and the configuration.
    "no command": (lambda p: [], 2, "COMMAND"),
    "unknown command": (lambda p: ["refrsh"], 2, "refrsh"),
    "unknown option": (lambda p: ["refresh", "--dryrun"], 2, "--dryrun"),
    "no such day": (lambda p: ["refresh", "--run-date", "2026-02-30"], 2, "2026-02-30"),
    "k is no number": (lambda p: ["similar", "x", "--root", "y", "-k", "many"], 2, "many"),
    "k of nothing": (lambda p: ["similar", "x", "--root", "y", "-k", "0"], 2, "at least 1"),
    "no root": (lambda p: ["similar", "x"], 2, "--root"),
    "no reason": (lambda p: ["refresh", "--accept", " "], 2, "--accept"),
    "unknown key": (lambda p: refresh(p, None, "neighbors.kk=3"), 2, "did you mean 'neighbors.k'?"),
    "unknown table": (lambda p: refresh(p, None, "neighbours.k=3"), 2, "did you mean 'neighbors'"),
    "no equals sign": (lambda p: ["refresh", "--set", "neighbors.k"], 2, "SECTION.KEY=VALUE"),
    "wrong type": (lambda p: refresh(p, None, "neighbors.k=ten"), 2, "neighbors.k"),
    "out of range": (lambda p: refresh(p, None, "neighbors.k=0"), 2, "greater than or equal to 1"),
    "no such choice": (lambda p: refresh(p, None, "input.format=xml"), 2, "input.format"),
    "no such encoding": (lambda p: refresh(p, None, "input.encoding=klingon"), 2, "no such encoding"),
    "two delimiters": (lambda p: refresh(p, None, 'input.csv_delimiter=";;"'), 2, "csv_delimiter"),
    "no such unit": (lambda p: refresh(p, None, "input.units.energy=furlong"), 2, "input.units.energy"),
    "no such file of settings": (lambda p: ["refresh", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    "no TOML": (lambda p: ["refresh", "--config", p.write("a.toml", "[input\n")], 2, "not TOML"),
    "no tracks": (lambda p: ["refresh", "--set", f"output.root={p.at}"], 2, "input.tracks is not set"),
    "no output": (lambda p: ["refresh", "--set", "input.tracks=x"], 2, "output.root is not set"),
    "store of no kind": (lambda p: refresh(p, None, "output.root=ftp://host/x"), 2, "no store of kind ftp://"),
    "store without a bucket": (lambda p: refresh(p, None, "output.root=s3://"), 2, "names no bucket"),
    "store with a secret": (lambda p: refresh(p, None, "output.root=s3://k:q7@b"), 2, "must not hold credential"),
    "output among the songs": (lambda p: refresh(p, str(p.at)), 2, "would be read"),
    "no GPU": (lambda p: refresh(p, None, "model.device=cuda"), 2, "cuda"),
    # Paths and files.
    "no such path": (lambda p: refresh(p, "nowhere.csv"), 3, "no such path: nowhere.csv"),
    "no match": (lambda p: refresh(p, f"{p.at}/*.csv"), 3, "no such path"),
    "empty directory": (lambda p: refresh(p, p.directory("d")), 3, "no files under"),
    "hidden files": (lambda p: refresh(p, os.path.dirname(p.write("d/.a.csv", "x"))), 3, "no files under"),
    "empty file": (lambda p: refresh(p, p.write("a.csv", "")), 3, "empty (0 bytes)"),
    "header only": (lambda p: refresh(p, p.write("a.csv", csv_of().split("\n")[0])), 3, "no rows"),
    "spreadsheet": (lambda p: refresh(p, p.write("a.xlsx", b"PK\x03\x04")), 3, "save it as CSV"),
    "spreadsheet as CSV": (lambda p: refresh(p, p.write("a.csv", b"PK\x03\x04xx")), 3, "spreadsheet"),
    "web": (lambda p: refresh(p, "https://example.com/songs.csv"), 3, "download the file"),
    "no such store": (lambda p: refresh(p, "foo://bucket/songs"), 3, "foo"),
    "cut gz": (lambda p: refresh(p, gz(p, cut=400)), 3, "cut.csv.gz"),
    "Parquet as CSV": (lambda p: refresh(p, p.write("a.csv", b"PAR1" + bytes(90))), 3, "a.csv"),
    "CSV as Parquet": (lambda p: refresh(p, p.write("a.parquet", csv_of())), 3, "a.parquet"),
    "cut Parquet": (lambda p: refresh(p, cut_parquet(p, at=slice(-400, None))), 3, "songs.parquet"),
    "hole in Parquet": (lambda p: refresh(p, cut_parquet(p, at=slice(50, 400))), 3, "songs.parquet"),
    "two formats": (lambda p: refresh(p, os.path.dirname(p.songs("d/a.csv") and p.songs("d/b.parquet"))), 3,
                    "cannot tell the format"),
    "no ending": (lambda p: refresh(p, p.write("songs", csv_of())), 3, "set input.format"),
    "not UTF-16": (lambda p: refresh(p, p.write("a.csv", csv_of()), "input.encoding=utf-16"), 3, "a.csv"),
    "broken JSON": (lambda p: refresh(p, p.write("a.json", '[{"id": 1},')), 3, "cut off"),
    "no JSON": (lambda p: refresh(p, p.write("a.jsonl", "a\nb\n")), 3, "no line holds a JSON object"),
    "picture": (lambda p: refresh(p, p.write("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(90))), 3, "no CSV"),
    # Columns and values.
    "no id": (lambda p: refresh(p, p.songs(drop=("track_id",))), 3,
              """--set 'input.id_from=["artist", "title"]'"""),
    "another id": (lambda p: refresh(p, p.songs(drop=("track_id",), TrackRef=range(30))), 3,
                   "did you mean the column TrackRef?"),
    "no features": (lambda p: refresh(p, p.write("a.csv", "id,name\n1,a\n")), 3, "0 of 12 audio features"),
    "two titles": (lambda p: refresh(p, p.songs(song_name="x")), 3, "input.columns.title"),
    "a title twice": (lambda p: refresh(p, p.write("a.csv", TWICE)), 3, "positions 2 and 3"),
    "a column twice": (lambda p: refresh(p, None, "input.columns.title=nowhere"), 3, "no such column"),
    "no such name": (lambda p: refresh(p, None, "input.columns.volume=energy"), 3, "volume"),
    "no such maker": (lambda p: refresh(p, None, 'input.id_from=["nowhere"]'), 3, "nowhere"),
    "no header": (lambda p: refresh(p, p.write("a.csv", NO_HEADER)), 3, "--set 'input.csv_names="),
    "wrong delimiter": (lambda p: refresh(p, None, "input.csv_delimiter=;"), 3, "track_id,title"),
    "one share in percent": (lambda p: refresh(p, p.songs(energy=range(50, 80))), 3, "energy looks like 0..100"),
    "shifted columns": (lambda p: refresh(p, p.songs(danceability=200_000)), 3,
                        "danceability looks like duration_ms"),
    "seconds": (lambda p: refresh(p, p.songs(duration_ms=range(150, 180))), 3, "input.units.duration_ms"),
    "words": (lambda p: refresh(p, p.songs(valence="happy")), 3, "valence_not_a_number 30"),
    "rows without ids": (lambda p: refresh(p, p.songs(track_id="")), 3, "missing_id 30"),
    "broken rows": (lambda p: refresh(p, p.write("a.csv", TOO_LONG)), 3, "malformed_row"),
    "seen before anything runs": (lambda p: refresh(p, p.songs(tempo=-1), dry=True), 3, "tempo_out_of_range 30"),
    "another file": (lambda p: refresh(p, os.path.dirname(p.songs("d/a.csv") and p.write("d/b.csv", "a,b\n"))), 3,
                     "b.csv"),
    "a column of Parquet twice": (lambda p: refresh(p, twice_in_parquet(p)), 3, "two columns have one name"),
    # Playlists and favorites.
    "no playlists": (lambda p: refresh(p, None, "input.playlists=nowhere.csv"), 3, "nowhere.csv"),
    "no columns": (lambda p: refresh(p, None, relation(p, "playlists", "a,b\n1,2\n")), 3,
                   "no column for playlist_id and track_id"),
    "no listener": (lambda p: refresh(p, None, relation(p, "favorites", "id\n1\n")), 3,
                    "input.favorite_columns.user_id"),
    "playlists of others": (lambda p: refresh(p, None, relation(p, "playlists", "playlist_id,id\n1,x\n")), 3,
                            "playlists"),
    "favorites of others": (lambda p: refresh(p, None, relation(p, "favorites", "user_id,id\n1,x\n")), 3,
                            "favorites"),
    # The night and its place.
    "the same for all": (lambda p: refresh(p, p.songs(n=150, **SONG)), 4, "--accept"),
    "output is a file": (lambda p: refresh(p, None, f"output.root={p.write('file', 'x')}"), 1, "file"),
    "another run": (locked, 5, "another run holds the lock"),
    # Vectors.
    "vectors of CSV": (lambda p: neighbors(p, p.songs()), 3, "songs.csv"),
    "no vectors": (lambda p: neighbors(p, f"{p.at}/nowhere"), 3, "no such path"),
    "no vector column": (lambda p: neighbors(p, p.vectors(), "--vector-column", "x"), 3, "--vector-column"),
    "an id twice": (lambda p: neighbors(p, p.vectors(id=["a", "b", "b", "c", "d"])), 3,
                    "ids in more than one row: b"),
    "vectors of zeros": (lambda p: neighbors(p, p.vectors(vector=[[0.0, 0.0]] * 20)), 3, "zero"),
    "vectors of all lengths": (lambda p: neighbors(p, p.vectors(vector=[[1.0] * (2 + i % 2) for i in range(20)])),
                               3, "from 2 to 3 numbers"),
    "vectors of NaN": (lambda p: neighbors(p, p.vectors(vector=[[1.0, float("nan")]] * 20)), 3, "NaN"),
    "one vector": (lambda p: neighbors(p, p.vectors(id=["a"])), 3, "vector"),
    "a number and what else": (lambda p: neighbors(p, p.vectors(), "--k", "none"), 2, "none"),
    # What was published.
    "nothing published": (lambda p: ["similar", "x", "--root", str(p.at)], 1, "nothing is published here yet"),
    "newer pointer": (pointing(schema_version=99), 1, "newer"),
    "pointer leads out": (pointing(run_id="../../x", snapshot="../../x"), 1, "current.json"),
    "no manifest": (pointing(), 1, "manifest"),
    "pointer of text": (lambda p: [p.write("out/published/current.json", "x"), "similar", "x", "--root",
                                   str(p.at / "out")][1:], 1, "pointer"),
    # The evaluation.
    "nothing judges": (lambda p: ["evaluate", "--set", f"input.tracks={p.songs()}"], 3, "cannot be judged"),
    "no section": (lambda p: ["evaluate", "--set", f"input.tracks={p.songs()}", "--write",
                              p.write("a.md", "x")], 2, "quality"),
}  # fmt: skip


def twice_in_parquet(place: Place) -> str:
    table = pa.Table.from_pandas(make_songs(30), preserve_index=False)
    path = place.at / "songs.parquet"
    pq.write_table(table.append_column("title", table["title"]), path)
    return str(path)


def end_of(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int | str | None, str]:
    capfd.readouterr()
    try:
        code: int | str | None = main(arguments)
    except SystemExit as ended:
        code = ended.code
    return code, capfd.readouterr().err


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told(spark, tmp_path: Path, capfd: pytest.CaptureFixture[str], mistake: str) -> None:
    make, code, says = MISTAKES[mistake]
    arguments = make(Place(tmp_path))
    found, told = end_of(arguments, capfd)
    assert says in told
    assert found == code
    assert len(told.splitlines()) <= 5
    assert "unexpected" not in told
    assert "Exception" not in told
    assert not list(tmp_path.glob("out/published/snapshots/*/manifest.json"))


def test_there_are_enough_mistakes() -> None:
    assert len(MISTAKES) >= 60
    assert {code for _, code, _ in MISTAKES.values()} == {1, 2, 3, 4, 5}


def test_a_path_that_exists_is_that_path(spark, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of songs and of the output: what looks like a pattern, an escape, a list or a URI is a name."""
    names = ["a[b]", "{c}", "d*", "e%20f", "g, h", "i:j", "k'l", 'm"n', "ö ü", "#o", "p?q", "r\\s"]
    for name in names:
        place = Place(tmp_path / name)
        tracks = place.songs(f"{name}/songs [all].csv")
        for path in (tracks, os.path.dirname(tracks)):
            code, told = end_of(refresh(place, path, dry=True), capfd)
            assert (code, told) == (0, ""), (path, told)


def test_what_stands_beside_songs_is_told_by_name(
    spark, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path)
    place.songs("d/songs.csv")
    for name in ("notes.txt", "README", "README.md", ".hidden"):
        place.write(f"d/{name}", "x")
    place.write("d/empty.csv", "")
    command = refresh(place, str(tmp_path / "d"), dry=True)
    assert main(command) == 0
    said = capfd.readouterr()
    shown = said.out + said.err
    assert all(name in shown for name in ("notes.txt", "README", "README.md", "empty.csv"))
    assert ".hidden" not in shown


def test_the_dry_run_says_what_would_be_refused(spark, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    songs = make_songs(40, tempo=np.where(np.arange(40) < 3, -1, 100 + np.arange(40)))
    pd.DataFrame(songs).to_csv(tmp_path / "songs.csv", index=False)
    assert main(refresh(Place(tmp_path), str(tmp_path / "songs.csv"), dry=True)) == 0
    assert "of the first 40 rows 3 would be refused: tempo_out_of_range 3" in capfd.readouterr().out

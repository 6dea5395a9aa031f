"""The user's local files: found whatever their names are, unpacked, read in parts, and named where they fail."""

import bz2
import gzip
from pathlib import Path

import pytest

from musicrec.errors import InputError
from musicrec.storage import byte_files, uris
from musicrec.storage.stores import open_store

ODD = [
    "a[b].csv",
    "{c}.csv",
    "d*.csv",
    "e%20f.csv",
    "g, h.csv",
    "i:j.csv",
    "k'l.csv",
    "ö ü.csv",
    "#o.csv",
    "p?q.csv",
]


def test_each_path_is_that_path_and_its_uri_leads_back(tmp_path: Path) -> None:
    for name in ODD:
        (tmp_path / name).write_text(name)
    paths = [str(tmp_path / name) for name in sorted(ODD)]
    assert byte_files.list_paths(str(tmp_path)) == paths
    for path in paths:
        assert byte_files.list_paths(path) == [path]
        assert uris.local_path(uris.file_uri(path)) == path
        assert uris.local_path(Path(path).as_uri()) == path
        assert b"".join(byte_files.read_chunks(path)).decode() == Path(path).name
    assert byte_files.list_paths(str(tmp_path / "[gk]*.csv")) == [str(tmp_path / name) for name in ODD[4:7:2]]
    assert byte_files.list_paths(str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize("uri", ["s3a://b/c", "hdfs:///a", "hdfs:/a", "file://host/a"])
def test_files_elsewhere_have_no_local_path(uri: str) -> None:
    assert uris.local_path(uri) is None


def test_what_is_hidden_and_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.csv").write_text("x")
    for name in ("_SUCCESS", ".a.csv.crc", "_year=1", "year=1"):
        (tmp_path / "real" / name).write_text("x")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    found = byte_files.list_paths(str(tmp_path / "linked"))
    assert found is not None
    assert [Path(path).name for path in found] == ["_year=1", "a.csv", "year=1"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, bytes])
def test_files_are_unpacked_by_what_they_are(tmp_path: Path, pack) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(pack(b"abc\n" * 5000))
    assert b"".join(byte_files.read_chunks(str(path))) == b"abc\n" * 5000
    assert byte_files.read_head(str(path), 5) == b"abc\na"
    assert byte_files.is_packed(str(path)) is (pack is not bytes)
    assert byte_files.unpacked(path.read_bytes(), where="x") == b"abc\n" * 5000


def test_parts_and_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_files, "CHUNK_BYTES", 7)
    path = tmp_path / "songs.csv"
    path.write_bytes(bytes(range(100)))
    assert b"".join(byte_files.read_chunks(str(path), first=3, last=50)) == bytes(range(3, 50))
    assert b"".join(byte_files.read_chunks(str(path), first=90)) == bytes(range(90, 100))


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"abc\n" * 5000, mtime=0)[:-9], b"PK\x03\x04rest", b"\x1f\x8bnothing"],
    ids=["cut", "archive", "nothing"],
)
def test_a_file_that_is_broken_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "songs.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        list(byte_files.read_chunks(str(path)))
    assert error.value.where == str(path)
    with pytest.raises(InputError, match="is gone"):
        byte_files.size_of(str(tmp_path / "gone.csv"))


def test_directories_that_say_something(tmp_path: Path) -> None:
    path = tmp_path / "a=1" / "root" / "year=1999" / "name=a%20b" / "x.csv"
    path.parent.mkdir(parents=True)
    path.touch()
    assert byte_files.named_values(str(path), str(tmp_path / "a=1" / "root")) == {"year": "1999", "name": "a b"}
    assert byte_files.named_values(str(path), str(path)) == {}
    nothing = tmp_path / "a=1" / "root" / "year=__HIVE_DEFAULT_PARTITION__" / "x.csv"
    assert byte_files.named_values(str(nothing), str(tmp_path / "a=1" / "root")) == {}


def test_whether_one_place_is_within_another(tmp_path: Path) -> None:
    assert uris.is_within(str(tmp_path / "out"), str(tmp_path))
    assert uris.is_within(str(tmp_path), str(tmp_path))
    assert not uris.is_within(str(tmp_path), str(tmp_path / "songs"))
    assert not uris.is_within("/a/bc", "/a/b")


AZURE = "abfss://c@one.dfs.core.windows.net"


@pytest.mark.parametrize(
    ("uri", "place", "is_within"),
    [
        ("s3://b/out", "s3a://b/", True),
        ("s3://b/out", "s3://b", True),
        ("s3://b/outer", "s3://b/out", False),
        ("s3://bc/out", "s3://b", False),
        ("gs://b/out", "s3://b", False),
        ("/b/out", "s3://b", False),
        (f"{AZURE}/songs/out", "az://c/songs", True),
        (f"{AZURE}/songs/out", f"{AZURE.replace('abfss', 'wasbs')}/songs", True),
        ("s3://b/songs/out", "s3n://b/songs", True),
        ("az://c/songs/out", f"{AZURE}/songs", True),
        (f"{AZURE}/songs/out", f"{AZURE.replace('dfs', 'blob')}/songs", True),
        (f"{AZURE}/songs/out", f"{AZURE.replace('one', 'two')}/songs", False),
    ],
)
def test_a_place_of_a_store_has_several_names(uri: str, place: str, is_within: bool) -> None:
    assert uris.is_within(uri, place) == is_within


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("d", "201.csv 202.csv 203.csv a.csv day=1/b.csv"),
        ("d/*", "201.csv 202.csv 203.csv a.csv day=1/b.csv"),
        ("d/**.csv", "201.csv 202.csv 203.csv a.csv day=1/b.csv"),
        ("d/*.csv", "201.csv 202.csv 203.csv a.csv"),
        ("d/20?.csv", "201.csv 202.csv 203.csv"),
        ("d/20[1-2].csv", "201.csv 202.csv"),
        ("d/20[!1].csv", "202.csv 203.csv"),
        ("d/20[^13].csv", "202.csv"),
        ("d/{201,a}.csv", "201.csv a.csv"),
        ("d/day=*", "day=1/b.csv"),
        ("d/a.csv", "a.csv"),
        ("nowhere", ""),
    ],
)
def test_patterns_find_in_a_store_what_they_mean(bucket: str, pattern: str, found: str) -> None:
    """What others write beside data, or have not committed, is none."""
    store = open_store(bucket)
    names = (
        "201.csv",
        "202.csv",
        "203.csv",
        "a.csv",
        "day=1/b.csv",
        "_SUCCESS",
        "_temporary/0/x.csv",
        ".hid/y.csv",
    )
    for name in names:
        store.put(f"d/{name}", b"x")
    # So some tools mark a folder.
    store.put("d/day=1", b"")
    store.put("d/empty.csv", b"")
    listed = byte_files.list_stored(f"{bucket}/{pattern}", hadoop={})
    start = len(bucket.partition("://")[2].partition("/")[2]) + len("/d/")
    assert [file.name[start:] for file in listed] == found.split()


def test_a_pattern_that_does_not_close_is_told(bucket: str) -> None:
    open_store(bucket).put("d/a", b"x")
    with pytest.raises(InputError, match="pattern of files"):
        byte_files.list_stored(f"{bucket}/d/{{a", hadoop={})

"""All kinds of stores keep the same promises; a server that breaks them is refused, and no secret is told."""

import pickle
import socket
import sys
import threading
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from musicrec.cli import main
from musicrec.doctor import examine
from musicrec.errors import ConfigError, StorageError
from musicrec.storage import object_clients, stores
from musicrec.storage.promises import check_promises
from musicrec.storage.runs import Root
from musicrec.storage.stores import MissingError, Store, open_store
from tests import servers

N_RACERS = 16
NAMES = ("a/b.json", "sp ace", "per%20cent", "ha#sh", "ünïcode/日本", "a+b&c=d", "que?ry")


@pytest.fixture
def store(any_root: Root) -> Store:
    """A place whose name is not a plain one."""
    return any_root.store.below("sp ace/per%20cent/ha#sh/日本")


def test_promises_are_kept_and_leave_nothing(store: Store) -> None:
    check_promises(store)
    assert not list(store.entries())


def test_objects_come_back_whatever_they_are_called(store: Store) -> None:
    for i, name in enumerate(NAMES):
        store.put(name, bytes([i]) * 3)
        store.put(name, bytes([i]) * 2)
    assert [entry.name for entry in store.entries()] == sorted(NAMES)
    assert {entry.n_bytes for entry in store.entries()} == {2}
    assert [store.get(name) for name in NAMES] == [bytes([i]) * 2 for i in range(len(NAMES))]
    # A part of a name is no place.
    assert [entry.name for entry in store.entries("a")] == ["a/b.json"]
    again = pickle.loads(pickle.dumps(store))
    assert again.get_ranges(NAMES[1], [(0, 1), (1, 2)]) == [b"\x01", b"\x01"]
    store.delete([*NAMES, "not there"])
    assert not list(store.entries())
    for ask in (store.get, store.stat, store.get_tagged):
        with pytest.raises(MissingError):
            ask(NAMES[0])


def test_what_is_listed_can_begin_behind_a_name(store: Store) -> None:
    for number in (1, 2, 10):
        store.put(f"history/{number:08d}.json", b"%d" % number)
    assert [entry.name for entry in store.entries("history", after="history/00000001.json")] == [
        "history/00000002.json", "history/00000010.json"
    ]  # fmt: skip
    assert store.stat("history/00000010.json").n_bytes == 2


def test_of_all_who_race_one_creates_and_one_replaces(store: Store) -> None:
    for attempt in range(3):
        name = f"pointer-{attempt}"
        assert race(lambda i, name=name: store.create(name, b"%d" % i)) == 1
        _, tag = store.get_tagged(name)
        assert race(lambda i, name=name, tag=tag: store.replace_if(name, b"by %d" % i, tag=tag)) == 1
        assert store.get(name).startswith(b"by ")


def race(attempt) -> int:
    """Return how many of some who begin at once win."""
    won, gate = [], threading.Barrier(N_RACERS)

    def run(i: int) -> None:
        gate.wait()
        won.append(attempt(i))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(N_RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == N_RACERS
    return sum(won)


def test_names_lead_nowhere_else(store: Store) -> None:
    for name in ("../out", "a/../../out", "a//b", ".", "a/./b", "", "/"):
        with pytest.raises(StorageError, match="no name of an object"):
            store.put(name, b"")


def test_one_place_is_not_within_another_of_a_longer_name(store: Store) -> None:
    one, other = store.below("night"), store.below("nightly")
    one.put("x", b"1")
    other.put("y", b"2")
    assert [entry.name for entry in one.entries()] == ["x"]
    assert [entry.name for entry in store.entries("night")] == ["night/x"]
    assert store.children() == ["night", "nightly"]
    store.delete_all("night")
    assert [entry.name for entry in store.entries()] == ["nightly/y"]


def test_a_store_that_breaks_its_promises_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with servers.rclone(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError, match="its promises: what is there already is created again"):
            check_promises(open_store(f"s3://{servers.BUCKET}/x"))


def test_the_doctor_asks_for_promises_and_shows_no_secret(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, published = examine(f"{bucket}/")[-2:]
    assert (kept.found, kept.fix) == (f"keeps its promises ({bucket})", "")
    assert (published.found, published.fix) == ("none yet", "")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    for uri, told in (
        (f"s3://{servers.BUCKET}/x", "refuses access"),
        ("s3://a:planted@b/x", "must not hold credentials"),
    ):
        found = examine(uri)[-1]
        assert told in found.found
        assert found.fix
        assert "planted" not in f"{found}"


def test_refusals_say_what_to_do_and_tell_no_secret(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-planted-wrong-secret")
    with pytest.raises(StorageError, match="refuses access: SignatureDoesNotMatch") as error:
        open_store(bucket).put("y", b"")
    assert "credentials" in error.value.todo
    for secret in (servers.KEY, "a-planted-wrong-secret"):
        assert secret not in str(error.value)
        assert secret not in repr(error.value.__cause__)
    # The client says of a list only that it failed.
    with pytest.raises(StorageError, match="refuses access: SignatureDoesNotMatch"):
        list(open_store(bucket).entries())
    for uri, told in (
        ("ftp://host/x", "no store of kind ftp"), ("s3://", "names no bucket"),
        ("s3://key:planted@bucket/x", "must not hold credentials"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=told) as refused:
            open_store(uri)
        assert "planted" not in str(refused.value)


def test_a_client_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for uri, extra in (("s3://b/x", "s3"), ("gs://b/x", "gcs"), ("abfss://c@a.dfs.core.windows.net/x", "azure")):
        store = open_store(uri)
        for ask in (
            store.get,
            partial(store.create, content=b""),
            lambda name, at=store: [*at.entries(name)],
        ):
            with pytest.raises(ConfigError, match="not installed") as error:
                ask("a")
            assert error.value.todo == f'pip install "musicrec[{extra}]"'


def test_keys_of_spark_reach_the_store(s3: servers.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in s3.environment:
        monkeypatch.delenv(name, raising=False)
    hadoop = {
        "spark.hadoop.fs.s3a.endpoint": s3.endpoint,
        "spark.hadoop.fs.s3a.access.key": servers.KEY,
        "spark.hadoop.fs.s3a.secret.key": servers.SECRET,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }
    store = open_store(f"s3a://{servers.BUCKET}/by-spark", hadoop=hadoop)
    store.put("x", b"1")
    assert store.get("x") == b"1"
    assert servers.SECRET not in repr(store)


@pytest.mark.parametrize(
    ("changed", "says", "todo"),
    [
        ({"AWS_ACCESS_KEY_ID": servers.READER_KEY}, "refuses access: AccessDenied", "credentials"),
        ({"AWS_ACCESS_KEY_ID": "a-key-of-nobody"}, "refuses access: InvalidAccessKeyId", "credentials"),
        ({"AWS_ENDPOINT": "http://127.0.0.1:9"}, "gives no answer", "endpoint"),
    ],
    ids=["reader", "unknown", "nobody there"],
)
def test_a_store_that_cannot_be_used_is_told_before_the_work(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    changed: dict[str, str], says: str, todo: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(stores, "COMMAND_S", 2)
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    assert main(["refresh", "--set", "input.tracks=x", "--set", f"output.root={bucket}"]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert todo in said
    assert len(said.splitlines()) <= 5
    for secret in (servers.SECRET, servers.KEY, *(value for name, value in changed.items() if "KEY" in name)):
        assert secret not in said


class NoBucket(BaseHTTPRequestHandler):
    """What S3 says of a bucket that is not there; the server of the other tests makes it."""

    def do_PUT(self) -> None:
        content = b"<Error><Code>NoSuchBucket</Code><Message>it is not there</Message></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_a_bucket_that_is_not_there_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), NoBucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(StorageError, match="no such bucket: lists") as refused:
            check_promises(open_store(bucket))
        server.shutdown()
    assert "make it" in refused.value.todo


def test_an_endpoint_that_hangs_is_not_waited_for_for_ever(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(object_clients, "REQUEST_S", 1)
        begun = time.monotonic()
        with pytest.raises(StorageError, match="gives no answer"):
            check_promises(open_store(bucket, patience_s=3))
        assert time.monotonic() - begun < 20

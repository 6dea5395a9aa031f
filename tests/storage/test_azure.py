"""What Azure's store says in its own words is told in ours; the promises are held by the tests of all stores."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from musicrec.cli import main
from musicrec.doctor import examine
from musicrec.errors import ConfigError, StorageError
from musicrec.storage.object_clients import find_client
from musicrec.storage.stores import MissingError, Store, open_store
from tests import servers

HOST = f"{servers.ACCOUNT}.dfs.core.windows.net"
WRONG_KEY = base64.b64encode(b"a-planted-wrong-secret").decode()
# Each kind of request fails in a way of its own.
ASKED: dict[str, Callable[[Store], Any]] = {
    "put": lambda store: store.put("x", b""),
    "create": lambda store: store.create("x", b""),
    "replace_if": lambda store: store.replace_if("x", b"", tag='"0x1"'),
    "get": lambda store: store.get("x"),
    "stat": lambda store: store.stat("x"),
    "get_ranges": lambda store: store.get_ranges("x", [(0, 1)]),
    "entries": lambda store: list(store.entries()),
    "children": lambda store: store.children(),
    "delete": lambda store: store.delete(["x"]),
}


@pytest.mark.stores
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"AZURE_STORAGE_ACCOUNT_KEY": WRONG_KEY}, "refuses access: (AuthorizationFailure|403)"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": "somebody"}, "refuses access: (AuthorizationFailure|403)"),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "a planted key"}, "wrong settings, or too few: InvalidAccessKey"),
        ({"AZURE_STORAGE_ACCOUNT_NAME": ""}, "wrong settings, or too few: MissingAccount"),
        ({"AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:9/x"}, "gives no answer"),
    ],
    ids=["wrong key", "other account", "no key at all", "no account", "nobody there"],
)
def test_whatever_is_asked_a_refusal_is_one_sentence_without_a_key(
    container: str, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], told: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    store = open_store(container, patience_s=0)
    for ask in ASKED.values():
        with pytest.raises((StorageError, ConfigError), match=told) as error:
            ask(store)
        assert error.value.todo
        said = f"{error.value}{error.value.__cause__!r}"
        assert not [each for each in (servers.ACCOUNT_KEY, WRONG_KEY, "planted") if each in said]


@pytest.mark.stores
@pytest.mark.parametrize("kind", ["put", "create", "get", "get_ranges", "entries", "children"])
def test_a_container_that_is_not_there_is_named(container: str, kind: str) -> None:
    with pytest.raises(StorageError, match="no such container: not-there") as error:
        ASKED[kind](open_store(container.replace(servers.BUCKET, "not-there", 1)))
    assert "make it" in error.value.todo


@pytest.mark.stores
def test_a_name_that_no_container_can_have_is_not_asked_for_again(container: str) -> None:
    with pytest.raises(StorageError, match="fails: InvalidResourceName") as error:
        open_store(container.replace(servers.BUCKET, "No_Name", 1)).get("x")
    assert error.value.todo == "look at the URI and at the endpoint"


@pytest.mark.stores
def test_the_doctor_asks_for_promises_and_shows_no_key(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, published = examine(container)[-2:]
    assert (kept.found, kept.fix) == (f"keeps its promises ({container})", "")
    assert (published.found, published.fix) == ("none yet", "")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", WRONG_KEY)
    found = examine(container)[-1]
    assert "refuses access" in found.found
    assert WRONG_KEY not in f"{found}"


@pytest.mark.stores
def test_a_key_that_is_wrong_is_told_before_the_work(
    container: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", WRONG_KEY)
    assert main(["refresh", "--set", "input.tracks=x", "--set", f"output.root={container}"]) == 1
    said = capsys.readouterr().err
    assert "refuses access" in said
    assert len(said.splitlines()) <= 5
    assert WRONG_KEY not in said


@pytest.mark.stores
def test_a_place_has_two_names_and_one_of_them_names_the_account(
    container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(container).put("x", b"1")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME")
    named = open_store(container.replace(f"az://{servers.BUCKET}", f"abfss://{servers.BUCKET}@{HOST}", 1))
    assert named.get("x") == b"1"
    # What it calls itself leads there again, and an error does not hide it.
    assert open_store(named.uri) == named
    with pytest.raises(MissingError) as error:
        named.get("y")
    assert f"{servers.BUCKET}@{HOST}" in str(error.value)


def test_containers_of_one_name_in_two_accounts_are_two_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for account in ("one", "two"):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", account)
        told.append(open_store("az://lists/x").server)
    assert told[0] != told[1]


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("one.dfs.core.windows.net", "https://one.blob.core.windows.net"),
        ("one.dfs.core.chinacloudapi.cn", "https://one.blob.core.chinacloudapi.cn"),
        ("one", None),
    ],
)
def test_an_account_is_asked_in_its_own_cloud(
    monkeypatch: pytest.MonkeyPatch, host: str, endpoint: str | None
) -> None:
    for name in ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    told: Any = find_client("azure", f"c@{host}", (), patience_s=1)
    assert (told.config["account_name"], told.config.get("endpoint")) == ("one", endpoint)
    # An endpoint of one's own is what is meant.
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:9/one")
    assert "endpoint" not in find_client("azure", f"c@{host}", (), patience_s=1).config

"""Tables of Iceberg that follow the pointer, by a catalog in SQLite, over a directory and a bucket."""

import socket
import threading
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchIcebergTableError
from pyiceberg.table import Table

from musicrec import doctor
from musicrec.cli import main
from musicrec.config import OutputConfig, load_config
from musicrec.errors import ConfigError, MusicrecError, StorageError
from musicrec.operations.versions import rollback
from musicrec.storage import history, iceberg
from musicrec.storage.datasets import RECOMMENDATIONS, USER_RECOMMENDATIONS
from musicrec.storage.lease import locked
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import Root, open_root, start_run
from tests.conftest import set_catalog
from tests.roots import DAY, N_PARTS, night, pointer_of, publish_run, set_pointer, write_tables
from tests.servers import KEY, SECRET, Server

NAME = "lake.music"
ALL = OutputConfig(keep_snapshots=9)


@pytest.fixture(params=["directory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lake: Catalog) -> Root:
    """An empty output root whose files the catalog's client can open."""
    if request.param == "directory":
        return open_root(str(tmp_path / "o ut"))
    server: Server = request.getfixturevalue("s3")
    set_catalog(
        monkeypatch, s3__endpoint=server.endpoint, s3__access_key_id=KEY, s3__secret_access_key=SECRET,
        s3__region="us-east-1",
    )  # fmt: skip
    return open_root(request.getfixturevalue("bucket"))


def table_of(name: str = "recommendations") -> Table:
    return load_catalog("lake").load_table(("music", name))


def rows_of(name: str = "recommendations") -> list[dict[str, object]]:
    found: list[dict[str, object]] = table_of(name).scan().to_arrow().to_pylist()
    return found


def live_in_lake() -> set[object]:
    rows = rows_of()
    assert sorted(row["rank"] for row in rows) == list(range(N_PARTS))
    return {row["track_id"] for row in rows}


def night_with(root: Root, pieces: dict[object, list[pa.Table]]) -> None:
    with locked(root):
        base = history.settle(root)
        run = start_run(root, run_date=DAY)
        publish_run(run, write_tables(run, pieces), base=base)


def test_the_tables_name_what_is_live(root: Root) -> None:
    first, second = night(root, keep=ALL), night(root, keep=ALL)
    iceberg.check_catalog(root, NAME)
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert live_in_lake() == {second}
    assert iceberg.follow(root, NAME) == []
    rollback(root)
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert live_in_lake() == {first}
    # Beside what is live: the tables stay.
    night(root, date(2025, 1, 1), ALL, promote=False)
    assert iceberg.follow(root, NAME) == []
    table = table_of()
    assert all(f"/snapshots/{first}/" in file.file.file_path for file in table.scan().plan_files())
    assert table.properties["gc.enabled"] == "false"


def test_a_table_that_was_left_behind_catches_up_and_forgets_what_is_deleted(root: Root) -> None:
    night(root)
    iceberg.follow(root, NAME)
    # Its files go meanwhile.
    for _ in range(3):
        last = night(root)
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert live_in_lake() == {last}
    kept = night(root)
    iceberg.follow(root, NAME)
    table = table_of()
    assert {snapshot.summary["musicrec.run_id"] for snapshot in table.metadata.snapshots} == {last, kept}
    # One of a night: whoever looks for a run's finds its rows.
    (before,) = [each for each in table.metadata.snapshots if each.summary["musicrec.run_id"] == last]
    assert {row["track_id"] for row in table.scan(snapshot_id=before.snapshot_id).to_arrow().to_pylist()} == {last}


def test_a_table_that_is_published_no_more_is_empty(root: Root) -> None:
    lists = [pa.table({"track_id": ["a"], "rank": [1]})]
    night_with(root, {RECOMMENDATIONS: lists, USER_RECOMMENDATIONS: [pa.table({"user_id": ["u"]})]})
    assert iceberg.follow(root, NAME) == ["recommendations", "user_recommendations"]
    assert rows_of("user_recommendations") == [{"user_id": "u"}]
    night_with(root, {RECOMMENDATIONS: lists})
    assert iceberg.follow(root, NAME) == ["recommendations", "user_recommendations"]
    assert rows_of("user_recommendations") == []
    assert iceberg.follow(root, NAME) == []


def test_files_without_rows_are_not_named(root: Root, lake: Catalog) -> None:
    some, nothing = pa.table({"track_id": ["a"]}), pa.table({"track_id": pa.array([], pa.string())})
    night_with(root, {RECOMMENDATIONS: [nothing]})
    iceberg.follow(root, NAME)
    assert iceberg.follow(root, NAME) == []
    night_with(root, {RECOMMENDATIONS: [some, nothing]})
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert iceberg.follow(root, NAME) == []
    # One that an earlier version of ours, or somebody, has put there goes with the others.
    empty = f"{read_pointer(root)['snapshot']}/recommendations/part-00001.parquet"
    table_of().add_files([iceberg._location(root, f"published/{empty}")])
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert [file.file_path[-18:] for file in iceberg._named_by(table_of())] == ["part-00000.parquet"]
    assert rows_of() == [{"track_id": "a"}]


def test_a_pointer_of_before_there_were_names_of_files_is_followed(root: Root, lake: Catalog) -> None:
    live = night(root)
    set_pointer(root, files=None)
    assert iceberg.follow(root, NAME) == ["recommendations"]
    assert live_in_lake() == {live}


def test_what_somebody_has_tagged_stays(root: Root, lake: Catalog) -> None:
    tagged = night(root)
    iceberg.follow(root, NAME)
    table = table_of()
    with table.manage_snapshots() as change:
        change.create_tag(table.current_snapshot().snapshot_id, "mine")
    for _ in range(3):
        last = night(root)
        assert iceberg.follow(root, NAME) == ["recommendations"]
    found = {each.summary["musicrec.run_id"] for each in table_of().metadata.snapshots}
    assert found >= {tagged, last}
    assert len(found) <= 3


def test_to_forget_fails_in_silence(root: Root, lake: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Table) -> None:
        raise ValueError("another one has done it")

    night(root)
    iceberg.follow(root, NAME)
    for _ in range(2):
        night(root)
    monkeypatch.setattr(Table, "maintenance", property(fail))
    assert iceberg.follow(root, NAME) == ["recommendations"]


def test_tables_are_made_before_the_first_night(root: Root, lake: Catalog) -> None:
    iceberg.prepare_catalog(root, NAME)
    assert sorted(name for _, name in load_catalog("lake").list_tables("music")) == ["recommendations", "status"]
    assert table_of().scan().to_arrow().schema.names == RECOMMENDATIONS.schema.names
    iceberg.prepare_catalog(root, NAME)


def test_a_catalog_that_knows_no_place_for_tables_is_refused_before_the_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_catalog(monkeypatch, uri=f"sqlite:///{tmp_path / 'lake.db'}")
    with pytest.raises(ConfigError, match=r"[Ll]ocation|path"):
        iceberg.prepare_catalog(open_root(str(tmp_path / "out")), NAME)


def test_whoever_may_make_no_namespace_uses_the_one_that_is_there(
    root: Root, lake: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("you may not")

    lake.create_namespace("music")
    monkeypatch.setattr(type(lake), "create_namespace", refuse)
    iceberg.prepare_catalog(root, NAME)
    live = night(root)
    iceberg.follow(root, NAME)
    assert live_in_lake() == {live}


def test_a_table_of_another_kind_is_somebody_elses(
    root: Root, lake: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that is none of Iceberg, such as Athena makes, some catalogs say so, and it is in the way."""

    def refuse(*_: object) -> None:
        raise NoSuchIcebergTableError("not an Iceberg table")

    monkeypatch.setattr(type(lake), "load_table", refuse)
    with pytest.raises(ConfigError, match="none of Iceberg"):
        iceberg.check_catalog(root, NAME)


@pytest.mark.usefixtures("lake")
def test_an_output_is_known_by_its_other_names(tmp_path: Path) -> None:
    night(open_root(str(tmp_path / "out")))
    iceberg.follow(open_root(str(tmp_path / "out")), NAME)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    for name in ("link", "link/../out"):
        iceberg.check_catalog(open_root(str(tmp_path / name)), NAME)
    with pytest.raises(ConfigError, match="not one of this output"):
        iceberg.check_catalog(open_root(str(tmp_path / "other")), NAME)


def test_a_column_more_is_a_column_more(root: Root) -> None:
    night_with(root, {RECOMMENDATIONS: [pa.table({"track_id": ["a"]})]})
    iceberg.follow(root, NAME)
    more = pa.table({"track_id": ["b"], "share": pa.array([0.5], pa.float32())})
    night_with(root, {RECOMMENDATIONS: [more]})
    iceberg.follow(root, NAME)
    assert rows_of() == [{"track_id": "b", "share": 0.5}]
    rollback(root)
    iceberg.follow(root, NAME)
    assert rows_of() == [{"track_id": "a", "share": None}]


def test_of_many_who_follow_at_once_none_takes_the_tables_back(root: Root) -> None:
    night(root, keep=ALL)
    iceberg.follow(root, NAME)
    failed: list[Exception] = []
    is_over = threading.Event()

    def follow_on() -> None:
        while not is_over.is_set():
            try:
                iceberg.follow(root, NAME)
            except MusicrecError as error:
                failed.append(error)
            # A reader finds the rows of one night.
            assert len(live_in_lake()) == 1

    others = [threading.Thread(target=follow_on) for _ in range(2)]
    for other in others:
        other.start()
    for _ in range(4):
        last = night(root, keep=ALL)
    is_over.set()
    for other in others:
        other.join()
    iceberg.follow(root, NAME)
    assert (live_in_lake(), failed) == ({last}, [])


def test_a_table_of_somebody_else_keeps_its_rows(root: Root, lake: Catalog) -> None:
    lake.create_namespace("music")
    theirs = lake.create_table("music.recommendations", schema=pa.schema([("mine", pa.string())]))
    theirs.append(pa.table({"mine": ["precious"]}))
    night(root)
    with pytest.raises(ConfigError, match="not one of this output"):
        iceberg.check_catalog(root, NAME)
    # A night that it comes up in is published all the same.
    with pytest.raises(StorageError, match=r"what is live is published, .*not one of this output"):
        iceberg.follow(root, NAME)
    assert rows_of() == [{"mine": "precious"}]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "URI"),
        ({"uri": f"postgresql+nothing://me:{SECRET}@127.0.0.1:1/x"}, "fails"),
        ({"uri": f"http://me:{SECRET}@127.0.0.1:1/x", "token": SECRET}, "fails"),
        ({"type": "nonsense"}, "nonsense"),
        # As a file has it that a secret is mounted as.
        ({"uri": "http://127.0.0.1:1/", "token": f"{SECRET}\n"}, "fails"),
        ({"uri": f"me:{SECRET}@host/x"}, "fails"),
    ],
)
def test_a_catalog_that_cannot_be_used_is_refused_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    set_catalog(monkeypatch, **settings)
    with pytest.raises(ConfigError) as error:
        iceberg.check_catalog(open_root(str(tmp_path)), NAME)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


def test_a_catalog_that_gives_no_answer_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        set_catalog(monkeypatch, uri=f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(iceberg, "ASK_S", 1.0)
        with pytest.raises(ConfigError, match="no answer in 1 s"):
            iceberg.check_catalog(open_root(str(tmp_path)), NAME)


def test_a_store_that_the_catalogs_client_cannot_open_is_told_before_the_night(bucket: str, lake: Catalog) -> None:
    root = open_root(bucket)
    night(root)
    # It is not told the endpoint, and looks elsewhere.
    with pytest.raises(ConfigError, match="the catalog of Iceberg fails"):
        iceberg.check_catalog(root, NAME)


@pytest.mark.parametrize("name", ["lake", "lake.", ".music", "la ke.music", "lake.mu/sic"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"CATALOG\.NAMESPACE"):
        load_config(overrides=[f'output.iceberg_catalog="{name}"'])


@pytest.mark.usefixtures("lake")
def test_a_place_that_readers_would_not_find_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot name files"):
        iceberg.check_catalog(open_root(str(tmp_path / "a#b")), NAME)


def test_the_tables_follow_by_command(tmp_path: Path, lake: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    root = open_root(str(tmp_path / "out"))
    first, second = night(root, keep=ALL), night(root, keep=ALL)
    empty = str(tmp_path / "nothing")
    assert main(["iceberg", "--root", empty, "--catalog", NAME]) == 1
    assert "nothing is published here yet" in capsys.readouterr().err
    assert lake.list_namespaces() == []
    assert main(["iceberg", "--root", root.uri]) == 2
    assert "has no catalog" in capsys.readouterr().err
    assert main(["iceberg", "--root", root.uri, "--catalog", "lake"]) == 2
    assert "CATALOG.NAMESPACE" in capsys.readouterr().err
    assert main(["iceberg", "--root", root.uri, "--catalog", NAME]) == 0
    assert capsys.readouterr().out == "changed lake.music.recommendations\n"
    assert main(["iceberg", "--root", root.uri, "--catalog", NAME]) == 0
    assert capsys.readouterr().out == "lake.music is as it should be\n"
    assert live_in_lake() == {second}
    assert first != second


@pytest.mark.usefixtures("lake")
def test_a_rollback_takes_the_tables_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = open_root(str(tmp_path / "out"))
    # The later run has the catalog in its manifest, the earlier does not.
    config = load_config(overrides=[f"output.iceberg_catalog={NAME}"])
    first = night(root, keep=ALL)
    monkeypatch.setattr("tests.roots.MORE", {"config": config.model_dump(mode="json")})
    second = night(root, keep=ALL)
    iceberg.follow(root, iceberg.catalog_of(root))
    assert live_in_lake() == {second}
    assert main(["rollback", "--root", root.uri]) == 0
    assert live_in_lake() == {first}
    assert main(["rollback", "--root", root.uri, "--to", second]) == 0
    assert live_in_lake() == {second}
    assert [(found.found, found.fix) for found in doctor.examine(root.uri)][-1] == (f"{NAME} answers", "")
    # What is live changes also where the catalog is gone; the sentence says what is not done.
    set_catalog(monkeypatch, uri="sqlite:////nowhere/lake.db")
    assert "the catalog of Iceberg fails" in doctor.examine(root.uri)[-1].found
    assert main(["rollback", "--root", root.uri]) == 1
    assert "tables of Iceberg are behind it" in capsys.readouterr().err
    assert pointer_of(root)["run_id"] == first


@pytest.mark.parametrize("config", [None, [], {"output": None}, {"output": {"iceberg_catalog": 7}}])
def test_a_manifest_that_says_nothing_of_a_catalog_stops_no_rollback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: object
) -> None:
    root = open_root(str(tmp_path / "out"))
    monkeypatch.setattr("tests.roots.MORE", {"config": config})
    first = night(root, keep=ALL)
    night(root, keep=ALL)
    assert main(["rollback", "--root", root.uri]) == 0
    assert pointer_of(root)["run_id"] == first


def test_azures_files_are_named_with_their_account(lake: Catalog) -> None:
    assert iceberg._location(open_root("az://c@me/lists"), "x") == "abfss://c@me.dfs.core.windows.net/lists/x"
    with pytest.raises(ConfigError, match="account"):
        iceberg.check_catalog(open_root("az://c/lists"), NAME)

"""A session that runs already is used as it is: what correctness needs is set in it meanwhile, and put back."""

import shlex
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from musicrec.config import SparkConfig
from musicrec.errors import ConfigError, StorageError
from musicrec.launch import check_device, open_session, session_for
from musicrec.spark import session as sessions
from musicrec.spark.partitions import PARTITIONS
from musicrec.storage import programs

ANSI, ZONE = "spark.sql.ansi.enabled", "spark.sql.session.timeZone"
SETTINGS = SparkConfig()


@pytest.fixture
def wrong(spark: SparkSession) -> Iterator[SparkSession]:
    """The session as a notebook may have it."""
    before = {key: spark.conf.get(key) for key in (ANSI, ZONE, PARTITIONS)}
    spark.conf.unset(ANSI)
    spark.conf.set(ANSI, "false")
    spark.conf.set(ZONE, "Asia/Tokyo")
    spark.conf.set(PARTITIONS, "200")
    yield spark
    for key, value in before.items():
        spark.conf.set(key, value)


def settings_of(session: SparkSession) -> dict[str, str]:
    return {key: value for key, value in session.conf.getAll.items() if key.startswith("spark.sql.")}


def test_wrong_settings_are_set_right_and_put_back(wrong: SparkSession) -> None:
    wrong.conf.unset("spark.sql.files.ignoreCorruptFiles")
    before = settings_of(wrong)
    with session_for(SETTINGS, app_name="tests") as session:
        assert session is wrong or session.conf.get(ZONE) == wrong.conf.get(ZONE)
        assert {key: wrong.conf.get(key) for key in sessions.REQUIRED} == sessions.REQUIRED
        # Two threads: a few tasks each, not 200.
        assert wrong.conf.get(PARTITIONS) == "8"
    assert settings_of(wrong) == before
    assert wrong.conf.get(ZONE) == "Asia/Tokyo"
    assert wrong.range(3).count() == 3


def test_a_failure_puts_back_too_and_the_configured_partitions_win(wrong: SparkSession) -> None:
    found = []

    def fail() -> None:
        with session_for(SparkConfig(shuffle_partitions=3), app_name="tests", session=wrong):
            found.append(wrong.conf.get(PARTITIONS))
            raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        fail()
    assert found == ["3"]
    assert (wrong.conf.get(ANSI), wrong.conf.get(PARTITIONS)) == ("false", "200")


def test_what_cannot_be_changed_is_refused_by_name(wrong: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    static = "spark.sql.warehouse.dir"
    monkeypatch.setattr(sessions, "REQUIRED", {ZONE: "UTC", static: "/elsewhere"})
    with pytest.raises(ConfigError) as refused, session_for(SETTINGS, app_name="tests"):
        pass
    assert static in refused.value.what
    assert "/elsewhere" in refused.value.what
    assert wrong.conf.get(static) in refused.value.what
    # What was set before it was found is put back.
    assert wrong.conf.get(ZONE) == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("master", "configured", "expected"),
    [("local[2]", 0, 8), ("local[16]", 0, 64), ("local[*]", 0, 12), ("local", 0, 12), ("spark://host", 0, 0),
     ("yarn", 5, 5), ("", 0, 0)],
)  # fmt: skip
def test_partitions_follow_the_cores_where_they_are_known(master: str, configured: int, expected: int) -> None:
    settings = SparkConfig(shuffle_partitions=configured)
    assert sessions._n_partitions(settings, master, n_cores=3) == expected


def test_without_java_it_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(StorageError, match="Java is missing"):
        open_session(SETTINGS, app_name="tests")


def test_the_workers_python_is_tried_before_spark_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/bin/false")
    monkeypatch.setattr(sessions, "start_session", lambda *_, **__: pytest.fail("Spark was started"))
    with pytest.raises(ConfigError, match="workers does not start"):
        open_session(SETTINGS, app_name="tests")


def test_a_gpu_that_is_not_there_is_told_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "has_gpu_driver", lambda: False)
    with pytest.raises(ConfigError, match="no driver"):
        check_device("cuda")
    check_device("auto")


def test_an_archive_of_classes_may_stand_under_any_name() -> None:
    at = sessions.Machine(2, False, False, "/tmp", class_archive="/my files/spark.jsa", is_for_small=True)
    options = sessions._suggested(SETTINGS, at)["spark.driver.extraJavaOptions"]
    assert shlex.split(options) == [
        "-XX:TieredStopAtLevel=1", "-XX:SharedArchiveFile=/my files/spark.jsa", "-Xshare:auto", "-Xlog:disable",
    ]  # fmt: skip
    plain = sessions.Machine(2, False, False, "/tmp")
    assert sessions._suggested(SETTINGS, plain)["spark.driver.extraJavaOptions"] == ""


@pytest.mark.parametrize(
    ("master", "is_submitted", "is_remote", "can_fork_workers", "daemon", "adaptive"),
    [("local[*]", False, False, True, "musicrec.daemon", "false"),
     ("local[*]", False, False, False, None, "false"),
     ("local[*]", True, False, True, None, None),
     ("local[*]", False, True, True, None, None),
     ("spark://host:7077", False, False, True, None, None)],
)  # fmt: skip
def test_what_only_fits_where_all_of_spark_is_ours(
    master: str, *, is_submitted: bool, is_remote: bool, can_fork_workers: bool, daemon: str, adaptive: str
) -> None:
    settings = SETTINGS.model_copy(update={"master": master})
    machine = sessions.Machine(2, is_submitted, is_remote, "/tmp", can_fork_workers=can_fork_workers)
    suggested = sessions._suggested(settings, machine)
    assert suggested.get("spark.python.daemon.module") == daemon
    assert suggested.get("spark.sql.adaptive.enabled") == adaptive

"""Java, the workers' Python and the GPU are asked before Spark starts, and what is wrong is said by a sentence."""

import sys
from pathlib import Path

import pytest

from musicrec.errors import ConfigError, StorageError
from musicrec.storage import programs


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "feature"), [("17.0.15", 17), ("1.8.0_392", 8), ("21", 21), ("25-ea", 25), ("11.0.2", 11)]
)
@pytest.mark.parametrize("told", ["by a file", "by itself"])
def test_the_version_of_java(tmp_path: Path, version: str, feature: int, told: str) -> None:
    itself = "exit 1" if told == "by a file" else f"echo 'openjdk version \"{version}\" 2025' >&2"
    java = program(tmp_path / "bin" / "java", itself)
    if told == "by a file":
        (tmp_path / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    assert programs.java_version(str(java)) == feature


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("echo 'java version \"1.8.0_392\"' >&2", "Java 8 is too old"),
        ("echo 'openjdk version \"11.0.2\"' >&2", "Java 11 is too old"),
        ("exit 1", "Java does not start"),
    ],
)
def test_a_java_that_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str) -> None:
    program(tmp_path / "bin" / "java", text)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StorageError, match=says) as told:
        programs.check_java()
    assert str(tmp_path) in told.value.where


def test_a_java_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StorageError, match="Java is missing; Spark needs 17"):
        programs.check_java()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exit 1", "does not start"),
        ("", "does not start"),
        ("echo hello", "does not start"),
        ("echo '[3, 9, []]'", "workers is 3.9, that of the driver 3."),
        (f'echo \'[{sys.version_info[0]}, {sys.version_info[1]}, ["torch", "numba"]]\'', "has no torch, numba"),
    ],
)
def test_a_workers_python_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", str(program(tmp_path / "python", text)))
    with pytest.raises(ConfigError, match=says) as told:
        programs.check_worker_python()
    assert str(tmp_path) in told.value.where


@pytest.mark.parametrize("wrong", ["/bin/false", "/nonexistent", ""])
def test_no_python_at_all(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", wrong)
    with pytest.raises(ConfigError, match="does not start"):
        programs.check_worker_python()


def test_this_python_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = program(tmp_path / "python", f'exec {sys.executable} "$@"')
    monkeypatch.setenv("PYSPARK_PYTHON", str(same))
    programs.check_worker_python()

"""The programs that Spark starts, Java and the Python of its workers, and the device of the encoder: do they fit?

All of it is asked before Spark takes its seconds to start, and none of it takes long.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from musicrec.errors import ConfigError, StorageError
from musicrec.storage import environment

MIN_JAVA, MIN_PYTHON = 17, (3, 11)
# What tasks import; Spark brings its own package to its workers, and a job may bring ours.
WORKER_MODULES = ("numpy", "scipy", "numba", "pandas", "pyarrow", "torch", "safetensors", "pydantic", "tomli_w")
MEND_PYTHON = "set PYSPARK_PYTHON to the python of the virtual environment, on every machine"
# A program that takes longer than this to say its version is none of those that were meant.
ANSWER_S = 30
_ASK_PYTHON = (
    "import json, sys; from importlib.util import find_spec; "
    "print(json.dumps([*sys.version_info[:2], [name for name in sys.argv[1:] if find_spec(name) is None]]))"
)


def java_version(java: str) -> int | None:
    """Return the feature version of a Java, such as 17; None where it does not start, or does not say it."""
    # A file beside it says what else takes a tenth of a second to be told.
    for home in list(Path(java).resolve().parents)[1:3]:
        try:
            found = re.search(r'^JAVA_VERSION="([^"]+)"', (home / "release").read_text(errors="replace"), re.M)
        except OSError:
            continue
        if found:
            return _feature(found.group(1))
    try:
        said = subprocess.run(  # noqa: S603 - the Java that Spark would start
            [java, "-version"], capture_output=True, text=True, check=False, timeout=ANSWER_S
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = re.search(r'version "([^"]+)"', said)
    return _feature(told.group(1)) if told else None


def check_java() -> None:
    """Raise where Java is missing or too old.

    Raises
    ------
    StorageError
        With the version that was found.
    """
    java = environment.find_java()
    mend = f"install Java {MIN_JAVA} or newer (bash scripts/setup.sh does), or set JAVA_HOME to one"
    needs = f"Spark needs {MIN_JAVA} or newer"
    if java is None:
        home = os.environ.get("JAVA_HOME", "")
        raise StorageError(f"Java is missing; {needs}", where=home and f"JAVA_HOME={home}", todo=mend)
    version = java_version(java)
    if version is None:
        raise StorageError(f"Java does not start; {needs}", where=java, todo=mend)
    if version < MIN_JAVA:
        raise StorageError(f"Java {version} is too old; {needs}", where=java, todo=mend)


def python_answer(executable: str) -> tuple[tuple[int, int], list[str]] | None:
    """Return the version of a Python and which modules of tasks it lacks; None where it is no Python."""
    try:
        said = subprocess.run(  # noqa: S603 - the Python that Spark would start
            [executable, "-c", _ASK_PYTHON, *WORKER_MODULES],
            capture_output=True, text=True, check=True, timeout=ANSWER_S, stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
        major, minor, missing = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
    return (major, minor), missing


def check_worker_python() -> None:
    """Raise where workers on this machine cannot do their work with the Python that Spark would start.

    Raises
    ------
    ConfigError
        It does not start, is of another version than the driver's, or lacks modules.
    """
    executable = environment.worker_python()
    if executable == sys.executable:
        return
    answer, where = python_answer(executable), f"PYSPARK_PYTHON={executable}"
    if answer is None:
        raise ConfigError("the Python of Spark's workers does not start", where=where, todo=MEND_PYTHON)
    version, missing = answer
    if version != sys.version_info[:2]:
        found, own = (".".join(map(str, each)) for each in (version, sys.version_info[:2]))
        raise ConfigError(
            f"the Python of Spark's workers is {found}, that of the driver {own}", where=where, todo=MEND_PYTHON
        )
    if missing:
        raise ConfigError(
            f"the Python of Spark's workers has no {', '.join(missing)}", where=where, todo=MEND_PYTHON
        )


def has_gpu_driver() -> bool:
    """Return whether the machine may have a GPU that torch can use: without a driver there is none."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        # AMD's stands behind this one, and torch calls it CUDA, too.
        return os.path.exists("/dev/kfd")
    return True


def _feature(version: str) -> int | None:
    # 1.8.0_392 is Java 8.
    found = re.match(r"(?:1\.)?(\d+)", version)
    return int(found.group(1)) if found else None

"""How a command ends: exit codes and their sentences, and a signal half-way."""

import logging
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from musicrec import errors, exits
from musicrec.storage import runs
from musicrec.storage.lease import locked
from musicrec.storage.pointer import current_snapshot
from tests.conftest import ROOT, make_config, refresh
from tests.processes import PYTHON_JOB, start_job, wait_for

TODAY = date(2026, 5, 6)


def raising(error: BaseException):
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "first"),
    [
        (errors.ConfigError("no key"), 2, "error: no key"),
        (errors.InputError("no song", where="a.csv", todo="look"), 3, "error: no song"),
        (errors.QualityError("bad lists"), 4, "error: bad lists"),
        (errors.LockError("locked"), 5, "error: locked"),
        (errors.StorageError("disk full"), 1, "error: disk full"),
        (
            OSError(28, "No space left on device", "/data/x"),
            1,
            "error: cannot write: the disk is full\nwhere: /data/x",
        ),
        (PermissionError(13, "Permission denied"), 1, "error: cannot read or write: permission denied"),
        (OSError(5, "Input/output error"), 1, "error: unexpected OSError: [Errno 5]"),
        (ValueError("a\nb " + "long " * 200), 1, "error: unexpected ValueError: a b"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (exits.Terminated(), 143, "error: stopped by a signal"),
    ],
)
def test_each_failure_has_its_code_and_at_most_five_lines(
    caplog: pytest.LogCaptureFixture, error: BaseException, code: int, first: str
) -> None:
    assert exits.exit_code_of(raising(error), debug=False) == code
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    lines = record.getMessage().splitlines()
    assert record.getMessage().startswith(first)
    assert len(lines) <= 5
    assert max(map(len, lines)) < 400


def test_no_credentials_are_said(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise errors.InputError("no such path: s3a://key:secret@bucket/x", where="s3a://key:secret@bucket/x")

    def break_down() -> None:
        raise ValueError("https://host/x?sig=secret")

    for action in (fail, break_down):
        exits.exit_code_of(action, debug=False)
    assert "secret" not in caplog.text
    assert "***" in caplog.text


def test_what_an_action_returns_is_the_code() -> None:
    assert exits.exit_code_of(lambda: None, debug=False) == 0
    assert exits.exit_code_of(lambda: 2, debug=False) == 2


WAITING = """
import signal, sys, time
from musicrec import console, exits
signal.signal(signal.SIGINT, signal.default_int_handler)  # the process that tests may ignore it

def action():
    try:
        print("waiting", flush=True)
        time.sleep(60)
    except BaseException:
        # What goes to pieces on the way out is not what is told.
        raise OSError("the JVM is gone")
    finally:
        print("freed", flush=True)

with console.showing("text", level=console.NORMAL):
    sys.exit(exits.exit_code_of(action, debug=False))
"""


@pytest.mark.parametrize(("number", "code", "said"), [
    (signal.SIGTERM, 143, "error: stopped by a signal (SIGTERM); what is published stays live\n"),
    (signal.SIGINT, 130, "error: interrupted; what is published stays live\n"),
])  # fmt: skip
def test_a_signal_frees_what_is_held(number: int, code: int, said: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (code, "freed\n", said)


@pytest.mark.slow
def test_a_job_that_is_told_to_end_frees_the_lock_and_leaves_the_old_data(
    spark, songs: Path, tmp_path: Path
) -> None:
    root = tmp_path / "out"
    before = refresh(spark, make_config(songs, root), run_date=TODAY)
    paths = (f"input.tracks={songs}", f"output.root={root}")
    job = start_job([*PYTHON_JOB, "--run-date", str(TODAY)], *paths, log=tmp_path / "log")
    wait_for(job, root, "work/*-002/tracks")
    # In the middle of a task of Spark, or on the way to the next.
    time.sleep(0.5)
    os.kill(job.pid, signal.SIGTERM)
    assert job.wait(timeout=120) == 143
    said = (tmp_path / "log").read_text().splitlines()
    assert said[-1] == "error: stopped by a signal (SIGTERM); what is published stays live"
    assert not [line for line in said if "Traceback" in line or "WARN" in line or "log4j" in line]
    opened = runs.open_root(str(root))
    with locked(opened):
        assert current_snapshot(opened) == str(before)


def test_a_signal_that_python_lost_ends_the_run_at_the_next_stage(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from musicrec import exits
from musicrec.storage.ending import check_ending
class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
def run():
    Dropped()
    print("goes on", flush=True)
    if sys.argv[1] == "stage":
        check_ending()
        print("published", flush=True)
    return 0
sys.exit(exits.exit_code_of(run, debug=False))
"""
    for where, said in (("stage", "goes on\n"), ("end", "goes on\n")):
        done = subprocess.run(
            [sys.executable, "-c", code, where], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.stdout == said
        assert done.returncode == 143


def test_who_has_closed_its_streams_gets_the_exit_code(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m musicrec config --config {tmp_path / 'nowhere.toml'}"
    assert subprocess.run(f"{command} 2>&-", shell=True, cwd=ROOT, check=False).returncode == 2
    assert subprocess.run(f"exec {sys.executable} -m musicrec config >&-", shell=True, cwd=ROOT).returncode == 0

"""What a person sees of a run: on a terminal of 80 columns, through a pipe, as JSON."""

import fcntl
import functools
import io
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

import pytest

from musicrec import console
from musicrec.held import HeldHandler
from tests.conftest import ROOT

log = logging.getLogger("musicrec")

# A stage that is told in full, one that fails, and lines of every level; the path is wider than any terminal.
RUN = """
import logging, sys, time
from musicrec import console
log = logging.getLogger("musicrec")

def tell(event, **known):
    stage = {"stage": "join", "doing": "finding neighbors", "number": 6, "total": 16, "seconds": None,
             "n_rows": 1_000_000, "estimate_s": 320.0}
    log.info(event, extra={"event": event, **stage, **known})

with console.showing(sys.argv[1], level=int(sys.argv[2])):
    log.info("run 2026-11-26-001")
    tell("begin")
    log.debug("epoch 1")
    log.info("published /a/long/path" + "/and/longer" * 12)
    log.warning("neighbors.leaf_size is now neighbors.expert.cell_size")
    time.sleep(float(sys.argv[3]))
    tell("end", seconds=47.25)
    tell("begin", doing="checking", number=None, total=None, n_rows=None, estimate_s=None)
    tell("failed", doing="checking", number=None, total=None, n_rows=None, estimate_s=None, seconds=1.0)
    logging.getLogger("another").info("not shown")
    log.error("error: what\\nwhere: here\\nto do: that")
"""


def through_a_pipe(look: str = "text", level: int = console.NORMAL) -> list[str]:
    command = [sys.executable, "-c", RUN, look, str(level), "0"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr.splitlines()


def on_a_terminal(level: int = console.NORMAL, **environment: str) -> str:
    """What reaches a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, "auto", str(level), "1.2"],
        cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**kept, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        # How Linux says that the other end was closed.
        pass
    os.close(ours)
    assert child.wait(timeout=60) == 0
    return shown.decode()


def plain(shown: str) -> list[str]:
    """The lines that were drawn one after another, without what moves the cursor and colors."""
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))


def test_through_a_pipe_each_event_is_a_line() -> None:
    lines = through_a_pipe()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines[:-3])
    assert [line[9:] for line in lines[:-3]] == [
        "run 2026-11-26-001",
        "6/16 finding neighbors: 1,000,000 rows, about 5 min",
        "published /a/long/path" + "/and/longer" * 12,
        "warning: neighbors.leaf_size is now neighbors.expert.cell_size",
        "6/16 finding neighbors: 1,000,000 rows, 47 s",
        "checking",
        "checking: failed after 1.0 s",
    ]
    assert lines[-3:] == ["error: what", "where: here", "to do: that"]


def test_of_a_run_that_fails_at_once_a_pipe_holds_why() -> None:
    assert through_a_pipe("auto") == ["error: what", "where: here", "to do: that"]


def test_json_is_one_object_a_line() -> None:
    lines = [json.loads(line) for line in through_a_pipe("json")]
    begin, end, failed = (
        next(line for line in lines if line.get("event") == e) for e in ("begin", "end", "failed")
    )
    known = {"stage": "join", "number": 6, "total": 16, "n_rows": 1_000_000, "estimate_s": 320.0, "level": "info"}
    assert {**begin, **known, "seconds": None} == begin
    assert end["seconds"] == 47.25
    assert failed["number"] is None
    assert lines[-1]["level"] == "error"
    assert lines[-1]["text"].startswith("error: what\nwhere")
    assert all({"time", "level", "text"} <= set(line) for line in lines)


@pytest.mark.parametrize(("level", "shown"), [(console.QUIET, 4), (console.NORMAL, 10), (console.VERBOSE, 11)])
def test_quiet_and_verbose(level: int, shown: int) -> None:
    lines = through_a_pipe(level=level)
    assert len(lines) == shown
    assert any("epoch 1" in line for line in lines) == (level == console.VERBOSE)


def test_nothing_is_wider_than_the_terminal() -> None:
    shown = on_a_terminal()
    lines = plain(shown)
    assert max(map(len, lines)) <= 80
    # While it runs the line tells for how long, and how long it took before; its end takes its place.
    running = [
        line for line in lines if re.search(r"6/16 finding neighbors +1,000,000 rows +\d s of about 5 min", line)
    ]
    assert running
    assert any(re.search(r" 6/16 finding neighbors +1,000,000 rows +47 s$", line) for line in lines)
    assert any(line.strip().startswith("published /a/long/path") and line.endswith("…") for line in lines)
    assert any(re.search(r"checking +failed after 1.0 s", line) for line in lines)
    assert lines[-4:] == ["error: what", "where: here", "to do: that", ""]
    assert re.search(r"\x1b\[[0-9;]*3[1-7]m", shown)
    # The lines in between stand above it, not in it.
    assert not [line for line in lines if "finding" in line and ("warning" in line or "published" in line)]


def test_a_connection_that_was_cut_is_no_news() -> None:
    shown = io.StringIO()
    with console.showing("text", level=console.NORMAL, stream=shown):
        logging.getLogger("py4j.clientserver").error("Exception while sending command.", exc_info=True)
        in_nobodys_name = (
            "root",
            logging.ERROR,
            "/lib/py4j/java_gateway.py",
            1,
            "while sending command",
            None,
            None,
        )
        logging.getLogger().handle(logging.LogRecord(*in_nobodys_name))
        logging.getLogger("someone.else").warning("beware")
    assert "sending" not in shown.getvalue()
    assert "warning: beware" in shown.getvalue()


def test_no_color_is_obeyed() -> None:
    assert not re.search(r"\x1b\[[0-9;]*[34][0-7][0-9;]*m", on_a_terminal(NO_COLOR="1"))


def test_a_dumb_terminal_gets_plain_lines() -> None:
    shown = on_a_terminal(TERM="dumb")
    assert "\x1b" not in shown
    assert "6/16 finding neighbors: 1,000,000 rows, 47 s" in shown


def test_a_trace_is_shown_where_it_was_asked_for() -> None:
    for look, check in (("text", "Traceback"), ("json", '"trace": "Traceback')):
        stream = io.StringIO()
        with console.showing(look, level=console.NORMAL, stream=stream):
            try:
                raise ValueError("why")
            except ValueError:
                log.error("error: what", exc_info=True)
        assert check in stream.getvalue()


def test_what_was_set_is_put_back() -> None:
    before = log.level, list(logging.getLogger().handlers)
    with console.showing("text", level=console.VERBOSE, stream=io.StringIO()):
        assert log.level == logging.DEBUG
    assert (log.level, logging.getLogger().handlers) == before


def shown_by(level: int, *, look: str = "auto", seconds: float = 30.0, fails: bool) -> list[str]:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("musicrec.console.HeldHandler", functools.partial(HeldHandler, seconds=seconds))
        with console.showing(look, level=level, stream=stream):
            log.info("cleaning")
            log.warning("odd")
            if not seconds:
                wait_until(lambda: "cleaning" in stream.getvalue())
            if fails:
                log.error("error: what\nwhere: here\nto do: that")
    return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in stream.getvalue().splitlines()]


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


FAILURE, LINES = ["error: what", "where: here", "to do: that"], ["cleaning", "warning: odd"]


def test_a_young_run_that_fails_says_only_why() -> None:
    assert shown_by(console.NORMAL, fails=True) == FAILURE
    assert shown_by(console.QUIET, fails=True) == FAILURE
    assert shown_by(console.NORMAL, fails=False) == LINES


def test_lines_wait_where_nobody_asked_for_them_and_not_for_long() -> None:
    assert shown_by(console.VERBOSE, fails=True) == [*LINES, *FAILURE]
    assert shown_by(console.NORMAL, look="text", fails=True) == [*LINES, *FAILURE]
    assert shown_by(console.NORMAL, seconds=0, fails=True) == [*LINES, *FAILURE]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (47.2, "47 s"), (320.0, "5 min 20 s"), (7500.0, "2 h 5 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert console.duration(seconds) == said

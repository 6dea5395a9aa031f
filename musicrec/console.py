"""How what a run says looks: on a terminal, through a pipe, as JSON.

A stage tells that it begins, ends or fails by a record whose `extra` holds `event` ("begin", "end", "failed"),
`stage`, `doing`, `number`, `total`, `seconds`, `n_rows` and `estimate_s`; what is not known is None. Any other
record is a line of text.

Whatever leaves the program by this module is cleaned here, once: a record as its formatter takes it, a result as
it is written.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from musicrec.held import HeldHandler
from musicrec.shown import cleaned, masked, one_line, without_controls
from musicrec.storage import environment

LOOKS = ("auto", "text", "json")
_FIELDS = ("event", "stage", "number", "total", "seconds", "n_rows", "estimate_s")
QUIET, NORMAL, VERBOSE = logging.WARNING, logging.INFO, logging.DEBUG
# Columns of a line on a terminal: number and what is done, how many rows, how long; 79 altogether.
_HEAD, _ROWS, _TIME = 36, 17, 26
# Back to the beginning of the line, and nothing on it.
CLEAR = "\r\x1b[2K"


@contextlib.contextmanager
def showing(look: str, *, level: int, stream: TextIO | None = None) -> Iterator[None]:
    """Show what is logged meanwhile: all of musicrec from `level` on, and the warnings of others.

    Parameters
    ----------
    look : {"auto", "text", "json"}
        "auto" is one line a stage on a terminal, and elsewhere "text" that waits while the run is young (`held`).
    level : int
        Of `logging`.
    stream : text file, optional
        Standard error by default.
    """
    root, own = logging.getLogger(), logging.getLogger("musicrec")
    # Whoever has closed standard error wants no lines.
    stream = stream or sys.stderr or io.StringIO()
    handler, before = make_handler(look, stream), own.level
    if look == "auto" and level > VERBOSE and not stream.isatty():
        handler = HeldHandler(handler)
    handler.addFilter(_is_news)
    root.addHandler(handler)
    own.setLevel(level)
    try:
        yield
    finally:
        own.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def _is_news(record: logging.LogRecord) -> bool:
    """Say no of py4j's traces: a connection that was cut is the consequence of what is told anyway."""
    # Some of it it says in nobody's name.
    return not record.name.startswith("py4j") and "/py4j/" not in record.pathname


def make_handler(look: str, stream: TextIO) -> logging.Handler:
    """Return what shows records on a stream."""
    if look == "auto" and stream.isatty() and not environment.is_dumb_terminal():
        return TerminalHandler(stream)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if look == "json" else TextFormatter())
    return handler


def show_result(text: str) -> None:
    """Write what a command was asked for to standard output."""
    text = cleaned(text)
    if sys.stdout is None:
        return
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


class TextFormatter(logging.Formatter):
    """A line with its time; a failure, which is a few lines of its own, as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        if record.levelno >= logging.ERROR:
            return cleaned(_with_trace(record, record.getMessage()))
        # Whatever a line says, it begins no other.
        text = one_line(stage_text(record) if _is_stage(record) else record.getMessage())
        level = "warning: " if record.levelno >= logging.WARNING else ""
        return f"{datetime.fromtimestamp(record.created):%H:%M:%S} {level}{text}"


class JsonFormatter(logging.Formatter):
    """A JSON object a line: `time`, `level`, `text`, and what a stage tells of itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **{name: getattr(record, name, None) for name in _FIELDS if _is_stage(record)},
            "text": masked(stage_text(record) if _is_stage(record) else record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = masked(self.formatException(record.exc_info))
        return without_controls(json.dumps(line, ensure_ascii=False))


class TerminalHandler(logging.Handler):
    """One line a stage, which tells how long it runs while it does; no line is wider than the terminal."""

    def __init__(self, stream: TextIO) -> None:
        # A command that shows no progress need not load it.
        from rich.console import Console

        super().__init__()
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._running: tuple[logging.LogRecord, float] | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, above the line of the stage that runs."""
        try:
            self._write(CLEAR if self._running else "")
            if _is_stage(record):
                began = record.event == "begin"  # type: ignore[attr-defined]
                self._running = (record, time.monotonic()) if began else None
            self._print(record)
            self._draw()
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._ended.set()
        with self._locked():
            self._write(CLEAR if self._running else "")
            self._running = None
        super().close()

    def _tick(self) -> None:
        while not self._ended.wait(1.0):
            with self._locked():
                self._draw()

    def _draw(self) -> None:
        if self._running:
            record, began = self._running
            about = _about(record)
            seconds = time.monotonic() - began
            # Tenths would only flicker.
            told = f"{seconds:.0f} s" if seconds < 10 else duration(seconds)
            told += f" of about {about}" if about else " ..."
            # The last column stays free: some terminals go on to the next line behind it.
            self._write(CLEAR + stage_columns(record, time=told)[: self._console.width - 1])

    def _print(self, record: logging.LogRecord) -> None:
        if _is_stage(record):
            if record.event != "begin":  # type: ignore[attr-defined]
                failed = record.event == "failed"  # type: ignore[attr-defined]
                self._line(stage_columns(record, time=_took(record)), style="red" if failed else "")
        elif record.levelno >= logging.ERROR:
            # Whole lines, which can be copied; a terminal that is too narrow folds them.
            self._console.print(cleaned(_with_trace(record, record.getMessage())), soft_wrap=True)
        elif record.levelno >= logging.WARNING:
            self._console.print(f"warning: {one_line(record.getMessage())}", style="yellow")
        else:
            self._line(f"      {one_line(record.getMessage())}", style="dim")

    def _line(self, text: str, *, style: str = "") -> None:
        self._console.print(text, style=style, no_wrap=True, overflow="ellipsis")

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.acquire()
        try:
            yield
        finally:
            self.release()


def stage_text(record: logging.LogRecord) -> str:
    """Return the line of a stage: "6/16 finding neighbors: 1,000,000 rows, about 20 s"."""
    about = _about(record)
    if record.event != "begin":  # type: ignore[attr-defined]
        about = _took(record)
    elif about:
        about = f"about {about}"
    told = ", ".join(part for part in (_n_rows(record), about) if part)
    return f"{_number(record)}{record.doing}{': ' if told else ''}{told}"  # type: ignore[attr-defined]


def stage_columns(record: logging.LogRecord, *, time: str) -> str:
    """Return the line of a stage on a terminal, in columns."""
    head = f"{_number(record):>6}{record.doing}"  # type: ignore[attr-defined]
    return f"{head:<{_HEAD}}{_n_rows(record):>{_ROWS}}{time:>{_TIME}}".rstrip()


def duration(seconds: float) -> str:
    """Return seconds as people say them: 3.2 s, 47 s, 5 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _is_stage(record: logging.LogRecord) -> bool:
    return getattr(record, "event", None) in ("begin", "end", "failed")


def _number(record: logging.LogRecord) -> str:
    number, total = getattr(record, "number", None), getattr(record, "total", None)
    return f"{number}/{total} " if number and total else ""


def _n_rows(record: logging.LogRecord) -> str:
    n_rows = getattr(record, "n_rows", None)
    return "" if n_rows is None else f"{n_rows:,} rows"


def _about(record: logging.LogRecord) -> str:
    estimate = getattr(record, "estimate_s", None)
    # Nobody knows it to the second.
    return "" if estimate is None else re.sub(r"(?<=min) .*", "", duration(estimate))


def _took(record: logging.LogRecord) -> str:
    took = duration(getattr(record, "seconds", None) or 0.0)
    return f"failed after {took}" if record.event == "failed" else took  # type: ignore[attr-defined]


def _with_trace(record: logging.LogRecord, text: str) -> str:
    if not record.exc_info:
        return text
    return f"{logging.Formatter().formatException(record.exc_info)}\n{text}"

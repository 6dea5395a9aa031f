"""How a command ends: its exit code, and at most five lines of why."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from musicrec.errors import MusicrecError, disk_error, shorten
from musicrec.storage import environment
from musicrec.storage.ending import check_ending, note_ending

_log = logging.getLogger("musicrec")

UNEXPECTED, USAGE = 1, 2
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
STILL_LIVE = "what is published stays live"


class Terminated(BaseException):
    """The process was asked to end; no handler of errors may take it for one."""


def exit_code_of(action: Callable[[], int | None], *, debug: bool) -> int:
    """Run `action` and return what it returns, or the exit code of its failure after saying what failed.

    Parameters
    ----------
    action : callable
        Returns an exit code, None for 0.
    debug : bool
        Also show the trace of a failure.
    """
    try:
        with _terminable() as asked:
            try:
                code = action() or 0
                check_ending()
                return code
            except Exception:
                # What goes to pieces while the process is being ended is no news.
                if asked:
                    raise asked[0]() from None
                raise
    except MusicrecError as error:
        _log.error("%s", error, exc_info=debug)
        return error.exit_code
    except KeyboardInterrupt:
        _log.error("error: interrupted; %s", STILL_LIVE)
        return INTERRUPTED
    except Terminated:
        _log.error("error: stopped by a signal (SIGTERM); %s", STILL_LIVE)
        return TERMINATED
    # The last resort: whatever it is, the user gets a sentence and a non-zero exit, not 200 lines of frames.
    except Exception as error:
        if (own := _own_error(error)) is not None:
            _log.error("%s", own, exc_info=debug)
            return own.exit_code
        sentence = f"error: unexpected {type(error).__name__}: {_describe(error)}"
        _log.error(
            "%s\nwhere: %s\nto do: run again with --debug for the trace", sentence, STILL_LIVE, exc_info=debug
        )
        return UNEXPECTED


@contextlib.contextmanager
def _terminable() -> Iterator[list[type[BaseException]]]:
    """Let SIGINT and SIGTERM end the block as an exception does, so that what it holds is freed.

    The second one ends it as Python and the system do.

    Yields
    ------
    list of type
        Of the exceptions that were raised so.
    """
    asked: list[type[BaseException]] = []

    def end(number: int, _: FrameType | None) -> None:
        environment.set_handlers({number: DEFAULTS[number] for number in heeded})
        asked.append(KeyboardInterrupt if number == signal.SIGINT else Terminated)
        # Raised while Python collects garbage it would be lost: stages ask again.
        note_ending(asked[-1])
        raise asked[-1]

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = environment.signal_handlers()
    heeded = environment.heeded(before)
    environment.set_handlers(dict.fromkeys(heeded, end))
    try:
        yield asked
    finally:
        environment.set_handlers(before)
        note_ending(None)


def _own_error(error: Exception) -> MusicrecError | None:
    """Return the error of ours that a task of Spark or a disk ended with, None where it was none."""
    if isinstance(error, OSError):
        return disk_error(str(error), where=str(error.filename or ""))
    if "pyspark" not in sys.modules:
        return None
    from musicrec.spark.failures import SPARK_ERRORS, as_disk_error, as_own_error

    if not isinstance(error, SPARK_ERRORS):
        return None
    return as_own_error(error) or as_disk_error(error, scratch=environment.spark_scratch())


def _describe(error: Exception) -> str:
    # A command without Spark must not import it; what was not imported did not fail.
    if "pyspark" in sys.modules:
        from musicrec.spark.failures import SPARK_ERRORS, describe_error

        if isinstance(error, SPARK_ERRORS):
            return describe_error(error)
    return shorten(str(error))

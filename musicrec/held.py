"""Lines of a young run wait: one that fails at once says why, and nothing else."""

from __future__ import annotations

import logging
import threading

# So long a run is young. Most mistakes are found while Spark starts and the input is cleaned.
HELD_S = 30.0


class HeldHandler(logging.Handler):
    """Hands records on to another handler: at once from some seconds on, or when it is closed; failures at once.

    A failure of ours takes the place of what waits, unless it shows its trace.
    """

    def __init__(self, shown: logging.Handler, *, seconds: float = HELD_S) -> None:
        super().__init__()
        self._shown = shown
        self._held: list[logging.LogRecord] | None = []
        self._timer = threading.Timer(seconds, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, or hand it on."""
        is_failure = record.levelno >= logging.ERROR
        if self._held is not None and not is_failure:
            self._held.append(record)
            return
        is_own = record.name.startswith("musicrec")
        if is_failure and is_own and self._held is not None and not record.exc_info:
            self._held = []
        self.flush()
        self._shown.handle(record)

    def flush(self) -> None:
        """Hand on what waits; from now on nothing does."""
        self.acquire()
        try:
            held, self._held = self._held or [], None
            for record in held:
                self._shown.handle(record)
        finally:
            self.release()

    def close(self) -> None:
        """Hand on what waits, and close the other handler."""
        self._timer.cancel()
        self.flush()
        self._shown.close()
        super().close()

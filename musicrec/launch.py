"""What every job has around its work: its configuration, and a Spark session that fits it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

from pyspark.sql import SparkSession

from musicrec.config import Config, SparkConfig, load_config
from musicrec.errors import ConfigError, StorageError
from musicrec.spark import session as sessions
from musicrec.spark.workers import Warming, warm_workers_beside
from musicrec.storage import environment, programs

_log = logging.getLogger("musicrec")

# How long a session may take to stop, and its workers to start; both end with this process at the latest.
STOP_S = 20


def read_config(file: str | None, overrides: Sequence[str]) -> Config:
    """Return the defaults, then a TOML file, then what `--set` says, merged.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    return load_config(files=[file] if file else [], overrides=overrides)


@contextlib.contextmanager
def session_for(
    settings: SparkConfig,
    *,
    app_name: str,
    session: SparkSession | None = None,
    reads: str = "",
    has_tasks: bool = True,
) -> Iterator[SparkSession]:
    """Give a session that fits: the one that is given or running, as it is, or a new one, stopped at the end.

    Parameters
    ----------
    settings : SparkConfig
    app_name : str
        Of a new session.
    session : SparkSession, optional
        Of a notebook. What correctness needs is set in it meanwhile, and put back.
    reads : str, optional
        The input, by which a new session knows whether it is for a few songs.
    has_tasks : bool
        Python workers will be needed: a new session starts one beside the driver's own imports.

    Raises
    ------
    ConfigError
        A setting of the running session is wrong and cannot be changed.
    StorageError
        Java is missing or too old, or the session does not start.
    """
    running = session or sessions.find_session()
    if running is not None:
        with sessions.fitted(running, settings, n_cores=environment.n_cores()):
            yield running
        return
    opened = open_session(settings, app_name=app_name, is_for_small=environment.is_small(reads))
    warming = warm_workers_beside(opened, _warm_up) if has_tasks else None
    try:
        yield opened
    except Exception:
        _close(opened, warming)
        raise
    except BaseException:
        # This thread's connection to the JVM may wait for an answer: another thread has its own.
        closing = threading.Thread(target=_close_somehow, args=(opened, warming), daemon=True)
        closing.start()
        closing.join(STOP_S)
        raise
    _close(opened, warming)


def _close_somehow(session: SparkSession, warming: Warming | None) -> None:
    # Java may have been ended, too: what it does not answer any more is no news.
    with contextlib.suppress(Exception):
        _close(session, warming)


def _close(session: SparkSession, warming: Warming | None) -> None:
    # Of a session that ends with a task, Java would have much to say.
    if warming:
        warming.end(limit_s=STOP_S)
    session.stop()


def _warm_up() -> None:
    from musicrec.neighbors.search.warm import warm_up  # what it imports, the worker needs and not yet the driver

    warm_up()


def open_session(settings: SparkConfig, *, app_name: str, is_for_small: bool = False) -> SparkSession:
    """Start a session with `settings` where the launcher is silent.

    Parameters
    ----------
    settings : SparkConfig
    app_name : str
    is_for_small : bool
        It is for a few songs: Java compiles less, which makes a short run shorter and a long one longer.

    Raises
    ------
    ConfigError
        The Python of workers on this machine does not fit.
    StorageError
        Java is missing or too old, or the session does not start.
    """
    environment.set_default("PYSPARK_PYTHON", environment.worker_python())
    is_own = not (environment.is_submitted() or environment.is_remote())
    if is_own:
        programs.check_java()
        _check_workers(settings.master)
    machine = sessions.Machine(
        n_cores=environment.n_cores(),
        is_submitted=environment.is_submitted(),
        is_remote=environment.is_remote(),
        scratch=environment.scratch(),
        class_archive=environment.class_archive(),
        is_for_small=is_for_small,
        can_fork_workers=environment.can_fork_workers(),
    )
    _log.info("starting Spark")
    said: list[str] = []
    try:
        with environment.held_back() as said, environment.deferred_signals():
            session = sessions.start_session(settings, app_name=app_name, machine=machine)
    except StorageError as error:
        # What Java says of its own failure is the better reason.
        reasons = [line for line in said if line.startswith(("Error", "Exception"))]
        raise StorageError(error.what, where=error.where or "; ".join(reasons[:2]), todo=error.todo) from error
    if not is_own:
        # Which master a launcher has chosen, only the session knows.
        _check_workers(session.conf.get("spark.master", "") or "")
    return session


def check_device(wanted: str) -> None:
    """Raise where a GPU is wanted and there is none.

    Raises
    ------
    ConfigError
        As `find_device`; without a driver it is told before torch is imported.
    """
    if wanted == "cuda":
        if not programs.has_gpu_driver():
            raise ConfigError(
                "model.device is cuda, but this machine has no driver of a GPU",
                todo='set model.device = "auto" or "cpu"',
            )
        from musicrec.encoder.learning.learner import find_device  # torch, which the run needs in any case

        find_device(wanted)


def _check_workers(master: str) -> None:
    """Try the workers' Python where workers run on this machine; what others have, a task will tell."""
    if master.startswith("local"):
        programs.check_worker_python()

"""The Spark session: what correctness needs is always set, the rest only where the launcher is silent."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from musicrec.config import SparkConfig
from musicrec.errors import ConfigError, StorageError
from musicrec.spark.partitions import PARTITIONS
from musicrec.storage.stores import S3_SETTINGS

REQUIRED = {
    # Text that is no number gives an error, not a silent NULL; the stages use try_cast.
    "spark.sql.ansi.enabled": "true",
    # A date or timestamp must not depend on where the driver stands.
    "spark.sql.session.timeZone": "UTC",
    # The default INT96 is deprecated, and other readers misread it.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # Tasks read lists by the standard's names of their parts.
    "spark.sql.parquet.writeLegacyFormat": "false",
    # true would silently read around a broken file.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # track_id = ID and track_id = id are two songs, but column names differ only by their letters.
    "spark.sql.caseSensitive": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Tasks know text by its small offsets.
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}

# How Java says that it has no client for a scheme.
_UNKNOWN = re.compile(
    r"No FileSystem for scheme|UnsupportedFileSystem|ClassNotFoundException|NoClassDefFoundError"
)

SUGGESTED = {
    # Batches large enough to amortize a UDF call, small enough for a worker's memory.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
    # zstd files are a third smaller than snappy's at the same speed.
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    # The driver collects samples only, but a large sample of vectors passes the default of 1g.
    "spark.driver.maxResultSize": "2g",
    # A forked worker starts without importing torch again.
    "spark.python.worker.reuse": "true",
    # To note the line of Python that each expression comes from takes twice as long as the cleaning's plan itself.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # What fails is told by one sentence of ours; Spark would print the trace of each task besides.
    "spark.log.level": "FATAL",
}

# Where all of Spark is on this machine, and nobody else has started it.
SUGGESTED_HERE = {
    # Tasks are cut to size before: there is little to adapt, and each shuffle would be a job of its own.
    "spark.sql.adaptive.enabled": "false",
}


@dataclass(frozen=True)
class Machine:
    """What the driver's machine offers.

    Attributes
    ----------
    n_cores : int
    is_submitted : bool
        spark-submit has started a JVM already, with the launcher's master, memory and options.
    is_remote : bool
        Spark runs elsewhere, and is asked by Spark Connect.
    scratch : str
        An existing directory for what Spark would put into the working directory.
    class_archive : str or None
        A file from which Java loads Spark's classes quicker.
    is_for_small : bool
        The job is over before Java's second compiler pays.
    can_fork_workers : bool
        Workers on this machine can be forked from a process that has imported what tasks need.
    """

    n_cores: int
    is_submitted: bool
    is_remote: bool
    scratch: str
    class_archive: str | None = None
    is_for_small: bool = False
    can_fork_workers: bool = False


def find_session() -> SparkSession | None:
    """Return the session that runs already, None without one."""
    try:
        return SparkSession.active()
    except PySparkException:
        return None


def lists_files_here(session: SparkSession) -> bool:
    """Return whether it is this machine's files that the session lists as local; not so with Spark Connect."""
    # A session of Spark Connect is of another class.
    return isinstance(session, SparkSession)


def has_own_files(session: SparkSession) -> bool:
    """Return whether the session was told of a file system by default that is not this machine's."""
    by_default = session.conf.get("spark.hadoop.fs.defaultFS", "file:///")
    return by_default is not None and not by_default.startswith("file:")


def hadoop_settings(session: SparkSession) -> dict[str, str]:
    """Return what the session was told of S3, as far as our own client understands it."""
    known = {name: session.conf.get(name, None) for name in S3_SETTINGS}
    return {name: value for name, value in known.items() if value}


def says_unknown_scheme(error: Exception) -> bool:
    """Return whether Spark says that it has no client for the scheme of a URI, as pip's has none for S3."""
    return _UNKNOWN.search(str(error)) is not None


def application_of(session: SparkSession) -> str:
    """Return what a cluster manager calls the application; empty where nobody would start it again."""
    found = session.conf.get("spark.app.id", "") or ""
    # One application of Spark Connect serves many, and is no sign of who holds what.
    return "" if found.startswith("local-") or not lists_files_here(session) else found


def start_session(settings: SparkConfig, *, app_name: str, machine: Machine) -> SparkSession:
    """Start a session, with `settings` where the launcher is silent.

    Parameters
    ----------
    settings : SparkConfig
    app_name : str
    machine : Machine

    Raises
    ------
    StorageError
        The session does not start.
    """
    suggested = _suggested(settings, machine)
    # A launcher has its own master and memory; a server of Spark Connect refuses to be told any.
    has_its_own = machine.is_submitted or machine.is_remote
    wanted = REQUIRED if has_its_own else {**suggested, **REQUIRED}
    try:
        builder = SparkSession.builder.appName(app_name)
        for key, value in wanted.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        if has_its_own:
            _suggest(session, suggested, settings)
    except (PySparkException, OSError) as error:
        raise StorageError(
            f"Spark did not start: {error}", todo="run `musicrec doctor`, which checks Java and Python"
        ) from error
    return session


@contextlib.contextmanager
def fitted(session: SparkSession, settings: SparkConfig, *, n_cores: int) -> Iterator[None]:
    """Set in a session that runs already what a run needs, and put back afterwards what it had.

    Parameters
    ----------
    session : SparkSession
    settings : SparkConfig
        Of the run; how many partitions it wants is all that a running session can take from it.
    n_cores : int
        Of this machine, on which a local session runs.

    Raises
    ------
    ConfigError
        A setting is not what correctness needs, and cannot be changed.
    """
    before = session.conf.getAll
    partitions = _n_partitions(settings, before.get("spark.master", ""), n_cores=n_cores)
    wanted = {**REQUIRED, **({PARTITIONS: str(partitions)} if partitions else {})}
    changed = [key for key, value in wanted.items() if session.conf.get(key, None) != value]
    try:
        for key in changed:
            _set(session, key, wanted[key])
        yield
    finally:
        for key in changed:
            # One that could not be set was not changed, and a session that ended has nothing to put back.
            with contextlib.suppress(Exception):
                if key in before:
                    session.conf.set(key, before[key])
                else:
                    session.conf.unset(key)


def _set(session: SparkSession, key: str, value: str) -> None:
    try:
        session.conf.set(key, value)
    except PySparkException:
        raise ConfigError(
            f"the running Spark session has {key} = {session.conf.get(key, None)} and does not let it be changed; "
            f"musicrec needs {value}",
            todo=f"start the session with {key} = {value}",
        ) from None


def _suggested(settings: SparkConfig, machine: Machine) -> dict[str, str]:
    is_here = settings.master.startswith("local") and not (machine.is_submitted or machine.is_remote)
    # Executors elsewhere may get the package with the job, after their daemon has started.
    daemon = {"spark.python.daemon.module": "musicrec.daemon"} if machine.can_fork_workers else {}
    return {
        **SUGGESTED,
        **({**SUGGESTED_HERE, **daemon} if is_here else {}),
        "spark.master": settings.master,
        "spark.driver.memory": settings.driver_memory,
        "spark.driver.extraJavaOptions": " ".join(_java_options(machine)),
        # No table of ours stands there; Spark would make it in the working directory.
        "spark.sql.warehouse.dir": machine.scratch,
        PARTITIONS: str(_n_partitions(settings, "local[*]", n_cores=machine.n_cores)),
    }


def _java_options(machine: Machine) -> list[str]:
    options = ["-XX:TieredStopAtLevel=1"] if machine.is_for_small else []
    if machine.class_archive:
        # An archive that does not fit is no reason for a warning: Java then starts as it does without one.
        options += [f'"-XX:SharedArchiveFile={machine.class_archive}"', "-Xshare:auto", "-Xlog:disable"]
    return options


def _n_partitions(settings: SparkConfig, master: str, *, n_cores: int) -> int:
    """Return how many partitions a wide stage should have; 0 where only the session can know."""
    if settings.shuffle_partitions:
        return settings.shuffle_partitions
    # How many cores a cluster has, the driver's machine does not tell: Spark's own default is for those.
    if not re.match(r"local(\[|$)", master):
        return 0
    threads = re.match(r"local\[(\d+)", master)
    # A few tasks per core even out; Spark's own default of 200 is for clusters.
    return max(8, 4 * (int(threads.group(1)) if threads else n_cores))


def _suggest(session: SparkSession, suggested: Mapping[str, str], settings: SparkConfig) -> None:
    """Set what can still be set and the launcher did not say; a builder's options would overrule the launcher."""
    said = session.conf.getAll
    for key, value in suggested.items():
        if key == PARTITIONS and not _n_partitions(settings, said.get("spark.master", ""), n_cores=1):
            continue
        if key not in said and session.conf.isModifiable(key):
            session.conf.set(key, value)

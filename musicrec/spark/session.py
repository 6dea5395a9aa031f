"""The Spark session: what correctness needs is always set, the rest only where the launcher is silent."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from musicrec.config import SparkConfig
from musicrec.errors import StorageError
from musicrec.spark.partitions import PARTITIONS

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
}

SUGGESTED = {
    # Batches large enough to amortize a UDF call, small enough for a worker's memory.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
    # zstd files are a third smaller than snappy's at the same speed.
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.ui.showConsoleProgress": "false",
    "spark.ui.enabled": "false",
    # The driver collects samples only, but a large sample of vectors passes the default of 1g.
    "spark.driver.maxResultSize": "2g",
    # The JVM interprets generated methods above 8 KB unless told otherwise; the cleaning's are larger.
    "spark.driver.extraJavaOptions": "-XX:-DontCompileHugeMethods",
    "spark.executor.extraJavaOptions": "-XX:-DontCompileHugeMethods",
    # A forked worker starts without importing torch again.
    "spark.python.worker.reuse": "true",
    "spark.sql.adaptive.enabled": "true",
    # To note the line of Python that each expression comes from takes twice as long as the cleaning's plan itself.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.log.level": "ERROR",
}


def open_session(settings: SparkConfig, *, app_name: str) -> SparkSession:
    """Return the running session or start one, with `settings` where the launcher is silent.

    Raises
    ------
    StorageError
        Java is missing or the session does not start.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    _check_java()
    # Under spark-submit the JVM runs already, with the launcher's master, memory and options. A server of Spark
    # Connect is as set in its ways, and refuses to be told a master.
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ or "SPARK_REMOTE" in os.environ
    wanted = REQUIRED if submitted else {**_suggested(settings), **REQUIRED}
    try:
        builder = SparkSession.builder.appName(app_name)
        for key, value in wanted.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
        if submitted:
            _suggest(session, _suggested(settings), n_partitions=settings.shuffle_partitions)
    except (PySparkException, OSError) as error:
        raise StorageError(
            f"Spark did not start: {error}", todo="run `musicrec doctor`, which checks Java and Python"
        ) from error
    return session


def _suggested(settings: SparkConfig) -> dict[str, str]:
    cores = os.cpu_count() or 1
    return {
        **SUGGESTED,
        "spark.master": settings.master,
        "spark.driver.memory": settings.driver_memory,
        # A few tasks per core even out; Spark's own default of 200 is for clusters.
        PARTITIONS: str(settings.shuffle_partitions or max(8, 4 * cores)),
    }


def _suggest(session: SparkSession, suggested: Mapping[str, str], *, n_partitions: int) -> None:
    """Set what can still be set and the launcher did not say; a builder's options would overrule the launcher."""
    said = {row["key"]: row["value"] for row in session.sql("SET").collect()}
    for key, value in suggested.items():
        # How many cores a cluster has, the driver's machine does not tell: Spark's own default is for those.
        if key == PARTITIONS and not n_partitions and not said.get("spark.master", "").startswith("local"):
            continue
        if key not in said and session.conf.isModifiable(key):
            session.conf.set(key, value)


def _check_java() -> None:
    if os.environ.get("SPARK_REMOTE") or os.environ.get("PYSPARK_GATEWAY_PORT"):
        return
    home = os.environ.get("JAVA_HOME")
    if not (home and os.path.exists(os.path.join(home, "bin", "java"))) and not shutil.which("java"):
        raise StorageError("Java is missing; Spark needs 17 or newer", todo="install it: bash scripts/setup.sh")

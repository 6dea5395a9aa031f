"""What a notebook calls: `musicrec.refresh` and `musicrec.neighbors`. (`musicrec.similar` needs no Spark.)

What they log goes to the logger "musicrec"; `logging.basicConfig(level=logging.INFO)` shows it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession

from musicrec.config import Config, load_config
from musicrec.errors import ConfigError, InputError
from musicrec.launch import check_device, session_for
from musicrec.neighbors.search.spaces import METRICS
from musicrec.refresh import refresh as run_refresh
from musicrec.spark.session import hadoop_settings
from musicrec.storage import environment
from musicrec.storage.files import Location
from musicrec.storage.promises import check_writable
from musicrec.storage.runs import open_root
from musicrec.vectors import handover
from musicrec.vectors.join import join_vectors
from musicrec.vectors.read import VectorsInput


def refresh(
    config: Config | Location | Mapping[str, Any],
    session: SparkSession | None = None,
    *,
    run_date: date | None = None,
    accept: str = "",
    promote: bool = False,
) -> str:
    """Run the whole nightly run and return the directory of the snapshot that it published.

    Parameters
    ----------
    config : Config, path or mapping
        The whole configuration, a TOML file, or sections with their keys, such as
        `{"input": {"tracks": "songs.csv"}, "output": {"root": "out"}}`. What is not said has its default.
    session : SparkSession, optional
        By default the one that runs, else a new one that is stopped at the end. One that runs already is not
        stopped; what correctness needs is set in it meanwhile, and put back.
    run_date : date, optional
        The day that the run is for; today (UTC) by default.
    accept : str
        Why the night is published although a gate of `[gates]` would stop it; stands in the manifest.
    promote : bool
        Make the result current also where what is current is of a later day.

    Raises
    ------
    MusicrecError
        One of its kinds; what was published before is then still live.
    """
    environment.check_supported()
    found = as_config(config)
    check_device(found.model.device)
    reads = found.input.tracks
    with session_for(found.spark, app_name="musicrec refresh", session=session, reads=reads) as running:
        day = run_date or datetime.now(UTC).date()
        return run_refresh(running, found, run_date=day, accept=accept.strip(), promote=promote)


def neighbors(
    dataframe: DataFrame,
    k: int = 10,
    target_recall: float = 0.98,
    *,
    metric: Literal["cosine", "dot", "euclidean"] = "cosine",
    root: Location | None = None,
    overwrite: bool = False,
) -> DataFrame:
    """Return the k nearest neighbors of each vector: `id, rank, neighbor_id, score`.

    The rows that come back are read from files. With `root` they stand in `<root>/neighbors`, beside `report.json`
    with the measured recall, and are yours to delete. Without it they stand in a temporary directory of this
    machine, and go when this Python process ends: write down what you want to keep.

    Parameters
    ----------
    dataframe : DataFrame
        `id` (string or whole number, each once) and `vector` (array of float or double); its session is used and
        not stopped.
    k : int
        Neighbors of each vector.
    target_recall : float
        Share of the true nearest that a list should hold, 0..1.
    metric : {"cosine", "dot", "euclidean"}
        The score; of "euclidean" it is minus the distance.
    root : path or URI, optional
        A directory that driver and executors share, or a place in a store. Where Spark is not local it must be
        given.
    overwrite : bool
        Replace the neighbors that stand in `root`.

    Raises
    ------
    MusicrecError
        One of its kinds.
    """
    environment.check_supported()
    session = dataframe.sparkSession
    if metric not in METRICS:
        raise ConfigError(f"metric must be one of {', '.join(METRICS)}, found {metric!r}")
    missing = [name for name in ("id", "vector") if name not in dataframe.columns]
    if missing:
        raise InputError(
            f"the DataFrame has no column {' and '.join(missing)}",
            where=", ".join(dataframe.columns),
            todo='rename its columns, e.g. dataframe.selectExpr("song AS id", "embedding AS vector")',
        )
    if root is None and not (session.conf.get("spark.master", "") or "").startswith("local"):
        raise ConfigError(
            "on a cluster neighbors(...) needs `root`",
            todo="give a place in a store, or a directory that all machines share",
        )
    directory = str(root or environment.make_scratch("musicrec-neighbors-"))
    opened = open_root(directory, hadoop=hadoop_settings(session))
    check_writable(opened)
    config = as_config({"output": {"root": directory}, "neighbors": {"k": k, "target_recall": target_recall}})
    with session_for(config.spark, app_name="musicrec neighbors", session=session):
        with handover.handed_over(dataframe.select("id", "vector"), opened) as uri:
            join_vectors(session, config, VectorsInput(uri, "id", "vector", metric), overwrite=overwrite)
        return handover.read_back(session, opened, dataframe.schema["id"].dataType.simpleString())


def as_config(config: Config | Location | Mapping[str, Any]) -> Config:
    """Return a configuration that is given as itself, as a TOML file or as sections with their keys.

    Raises
    ------
    ConfigError
        As `load_config`.
    """
    if isinstance(config, Config):
        return config
    if not isinstance(config, Mapping):
        return load_config(files=[str(config)])
    overrides = []
    for section, keys in config.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"section {section!r} must be a mapping of keys, found {keys!r}")
        overrides += [f"{section}.{key}={_as_toml(value)}" for key, value in keys.items()]
    return load_config(overrides=overrides)


def _as_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    # Not escaped: TOML writes what JSON writes as a pair of surrogates in one.
    return json.dumps(value if isinstance(value, bool | int | float) else str(value), ensure_ascii=False)

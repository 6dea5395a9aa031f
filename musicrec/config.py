"""The configuration: frozen models, TOML layers merged, unknown keys refused with a suggestion.

Every default stands in `conf/base.toml` with its unit, its range and its reason; a test holds the two equal. What
only an expert turns has a table of its own, `[section.expert]`.
"""

from __future__ import annotations

import importlib.resources
import json
import logging
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field

from musicrec.config_findings import validate
from musicrec.config_layers import ConfigPath, merge_layers, parse_override, path_text, read_layer
from musicrec.config_lists import ListsConfig
from musicrec.config_renames import translate
from musicrec.config_types import (
    AboveZero,
    CatalogName,
    Count,
    Delimiter,
    Encoding,
    Majority,
    MemorySize,
    Section,
    Share,
    Weight,
    Width,
)
from musicrec.errors import ConfigError

_log = logging.getLogger("musicrec")

# In the URI of an input: the day that the run is for.
RUN_DATE = "{run_date}"


class InputExpert(Section):
    """What only an expert turns of the input."""

    max_text_length: Annotated[int, Field(ge=16, le=100_000)] = 500


class InputConfig(Section):
    """Where the songs come from and what makes one usable."""

    tracks: str = ""
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    playlist_columns: dict[str, str] = Field(default_factory=dict)
    favorite_columns: dict[str, str] = Field(default_factory=dict)
    units: dict[str, Literal["percent", "share", "ms", "s", "min"]] = Field(default_factory=dict)
    id_from: tuple[str, ...] = ()
    playlists: str = ""
    favorites: str = ""
    csv_multiline: bool = True
    csv_delimiter: Delimiter = ""
    csv_names: tuple[str, ...] = ()
    encoding: Encoding = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    invalid_values: Literal["quarantine", "missing"] = "quarantine"
    max_popularity: Annotated[float, Field(gt=0.0)] = 100.0
    min_features: Annotated[int, Field(ge=1, le=12)] = 6
    max_quarantine_share: Share = 0.1
    expert: InputExpert = InputExpert()


class OutputConfig(Section):
    """Where the results go and how many of them stay."""

    root: str = ""
    keep_snapshots: Count = 3
    keep_hours: Weight = 48.0
    iceberg_catalog: CatalogName = ""


class ModelExpert(Section):
    """What only an expert turns of the encoder and its training."""

    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    n_frequencies: Annotated[int, Field(ge=0, le=1024)] = 4
    frequency_scale: AboveZero = 0.3
    numeric_width: Annotated[int, Field(ge=1, le=1024)] = 8
    playlist_weight: Weight = 1.0
    artist_weight: Weight = 1.0
    genre_weight: Weight = 0.3
    min_songs: Annotated[int, Field(ge=8)] = 200
    batch_size: Annotated[int, Field(ge=8)] = 512
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.002
    weight_decay: Weight = 0.01
    temperature: AboveZero = 0.15
    proxy_temperature: AboveZero = 0.2
    hidden_songs: Share = 0.3
    input_noise: Weight = 0.1
    validation_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.05
    gate_share: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    patience: Count = 8
    n_threads: Annotated[int, Field(ge=0)] = 0


class ModelConfig(Section):
    """The encoder and its training."""

    hidden_layers: tuple[Width, ...] = (256, 192)
    embedding_dim: Annotated[int, Field(ge=2, le=2048)] = 64
    use_release_date: bool = True
    use_popularity: bool = True
    use_genre: bool = False
    use_artist_context: bool = True
    use_title: bool = True
    objective: Literal["auto", "playlists", "labels", "all", "self_supervised"] = "auto"
    sample_size: Annotated[int, Field(ge=100)] = 50_000
    n_epochs: Count = 40
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 17
    device: Literal["auto", "cpu", "cuda"] = "auto"
    expert: ModelExpert = ModelExpert()


class NeighborsExpert(Section):
    """What only an expert turns of the neighbor join."""

    exact_below: Annotated[int, Field(ge=0)] = 50_000
    cell_size: Annotated[int, Field(ge=0)] = 0
    tau: Annotated[float, Field(ge=0.0)] = 0.0
    n_tables: Annotated[int, Field(ge=1, le=64)] = 8
    n_bits: Annotated[int, Field(ge=0, le=30)] = 0
    max_unit_rows: Annotated[int, Field(ge=64)] = 131_072
    n_truth_queries: Annotated[int, Field(ge=10)] = 2000


class NeighborsConfig(Section):
    """The neighbor join."""

    k: Annotated[int, Field(ge=1, le=1000)] = 10
    target_recall: Annotated[float, Field(gt=0.0, le=1.0)] = 0.98
    min_recall: Share = 0.9
    hash_family: Literal["voronoi", "hyperplane", "exact"] = "voronoi"
    expert: NeighborsExpert = NeighborsExpert()


class GatesConfig(Section):
    """What the numbers of a night must keep, or it is not published."""

    min_songs: Count = 100
    max_one_id: Majority = 0.5
    max_one_recording: Majority = 0.5
    max_one_value: Majority = 0.995
    max_missing: Share = 0.995
    max_lost: Share = 0.5
    max_collapsed: Share = 0.5
    max_unlisted: Share = 0.1
    min_encoder_ratio: Weight = 0.0


class FavoritesExpert(Section):
    """What only an expert turns of the recommendations per listener."""

    rank_constant: Annotated[int, Field(ge=0)] = 60


class FavoritesConfig(Section):
    """Recommendations per listener."""

    k: Annotated[int, Field(ge=1, le=1000)] = 10
    expert: FavoritesExpert = FavoritesExpert()


class EvaluateExpert(Section):
    """What only an expert turns of the evaluation."""

    n_bootstrap: Annotated[int, Field(ge=100)] = 1000
    first_split: Annotated[int, Field(ge=0)] = 0


class EvaluateConfig(Section):
    """The artist-held-out evaluation."""

    n_splits: Annotated[int, Field(ge=1, le=20)] = 3
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    max_songs: Annotated[int, Field(ge=100)] = 50_000
    expert: EvaluateExpert = EvaluateExpert()


class SparkConfig(Section):
    """What the session gets where the launcher did not say."""

    master: str = "local[*]"
    driver_memory: MemorySize = "4g"
    shuffle_partitions: Annotated[int, Field(ge=0)] = 0


class Config(Section):
    """The whole configuration of a run."""

    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    model: ModelConfig = ModelConfig()
    neighbors: NeighborsConfig = NeighborsConfig()
    lists: ListsConfig = ListsConfig()
    gates: GatesConfig = GatesConfig()
    favorites: FavoritesConfig = FavoritesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    spark: SparkConfig = SparkConfig()


def load_config(*, files: Iterable[str | ConfigPath] = (), overrides: Iterable[str] = ()) -> Config:
    """Merge the TOML `files` in order, then the `SECTION.KEY=VALUE` overrides.

    An old name of a key is taken for its new one, with a sentence in the log.

    Parameters
    ----------
    files : iterable of paths
        Later files win, key by key.
    overrides : iterable of str
        `section.key=value`; the value is read as TOML and, where that fails, as plain text.

    Returns
    -------
    Config
        Complete and valid.

    Raises
    ------
    ConfigError
        A file cannot be read, a key is unknown or given under both its names, or a value is out of its range;
        names the first three.
    """
    files, overrides = list(files), list(overrides)
    # What is set on the command line is one layer: a key given under both its names is found in it.
    written = [read_layer(file) for file in files] + [merge_layers(map(parse_override, overrides))]
    layers = [translate(layer) for layer in written]
    given_as = {new: old for layer in layers for new, old in layer.renamed.items()}
    config, findings = validate(Config, merge_layers(layer.layer for layer in layers), given_as=given_as)
    findings = [*(finding for layer in layers for finding in layer.findings), *findings]
    if config is None or findings:
        raise ConfigError(
            "the configuration is not valid: " + "; ".join(findings[:3]),
            where=", ".join([path_text(file) for file in files] + overrides),
            todo="`musicrec config` prints every key with its unit and range",
        )
    for sentence in dict.fromkeys(sentence for layer in layers for sentence in layer.sentences.values()):
        _log.warning(sentence)
    return config


def for_day(config: Config, run_date: date) -> Config:
    """Return the configuration with the day in place of `{run_date}` in the URIs of inputs."""
    day = run_date.isoformat()
    uris = {
        name: getattr(config.input, name).replace(RUN_DATE, day) for name in ("tracks", "playlists", "favorites")
    }
    return config.model_copy(
        update={
            "input": config.input.model_copy(update=uris),
            "lists": config.lists.model_copy(update={"exclude": config.lists.exclude.replace(RUN_DATE, day)}),
        }
    )


def config_as_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as plain JSON values, as the manifest holds it."""
    plain: dict[str, Any] = json.loads(config.model_dump_json())
    return plain


def base_text() -> str:
    """Return `conf/base.toml` as it lies in the package, also where that is a zip."""
    return importlib.resources.files("musicrec").joinpath("base.toml").read_text(encoding="utf-8")


def describe_config() -> str:
    """Return every key with its default, unit, range and reason, as TOML."""
    return base_text()


def resolved_toml(config: Config) -> str:
    """Return every key with the value in effect, as TOML that `load_config` reads back.

    URIs stand as they are: whoever prints this masks the credentials in it (`shown.masked`).
    """
    return tomli_w.dumps(config_as_dict(config))

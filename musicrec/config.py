"""The configuration: frozen models, TOML layers merged, unknown keys refused with a suggestion.

Every default stands in `conf/base.toml` with its unit and its reason; a test holds the two equal.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from musicrec.errors import ConfigError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class Section(BaseModel):
    """One table of the TOML file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputConfig(Section):
    """Where the songs come from and what makes one usable."""

    tracks: str = ""
    format: Literal["auto", "csv", "jsonl", "parquet"] = "auto"
    columns: dict[str, str] = Field(default_factory=dict)
    id_from: tuple[str, ...] = ()
    playlists: str = ""
    favorites: str = ""
    csv_multiline: bool = True
    invalid_values: Literal["quarantine", "missing"] = "quarantine"
    min_features: Annotated[int, Field(ge=1, le=12)] = 6
    max_text_length: Annotated[int, Field(ge=16, le=100_000)] = 500
    max_quarantine_share: Share = 0.1


class OutputConfig(Section):
    """Where the results go and how many of them stay."""

    root: str = ""
    keep_snapshots: Count = 3


class ModelConfig(Section):
    """The encoder and its training."""

    hidden_layers: tuple[Width, ...] = (256, 256)
    embedding_dim: Annotated[int, Field(ge=2, le=2048)] = 64
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    use_release_date: bool = True
    use_popularity: bool = True
    use_genre: bool = False
    n_frequencies: Annotated[int, Field(ge=0, le=1024)] = 8
    frequency_scale: Annotated[float, Field(gt=0.0)] = 0.3
    numeric_width: Annotated[int, Field(ge=1, le=1024)] = 8
    objective: Literal["auto", "playlists", "labels", "all", "self_supervised"] = "auto"
    playlist_weight: Annotated[float, Field(ge=0.0)] = 1.0
    artist_weight: Annotated[float, Field(ge=0.0)] = 1.0
    genre_weight: Annotated[float, Field(ge=0.0)] = 0.3
    sample_size: Annotated[int, Field(ge=100)] = 50_000
    min_songs: Annotated[int, Field(ge=8)] = 200
    n_epochs: Count = 40
    batch_size: Annotated[int, Field(ge=8)] = 512
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.002
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.01
    contrastive_weight: Annotated[float, Field(ge=0.0)] = 0.0
    temperature: Annotated[float, Field(gt=0.0)] = 0.15
    proxy_weight: Annotated[float, Field(ge=0.0)] = 1.0
    proxy_temperature: Annotated[float, Field(gt=0.0)] = 0.2
    hidden_songs: Share = 0.3
    input_noise: Annotated[float, Field(ge=0.0)] = 0.1
    holdout_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.05
    judging_share: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.05
    patience: Count = 8
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 17
    n_threads: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _check_losses(self) -> ModelConfig:
        if not self.contrastive_weight and not self.proxy_weight:
            raise ValueError("contrastive_weight and proxy_weight are both 0: there is nothing to learn")
        return self


class NeighborsConfig(Section):
    """The neighbor join."""

    k: Annotated[int, Field(ge=1, le=1000)] = 10
    target_recall: Annotated[float, Field(gt=0.0, le=1.0)] = 0.98
    min_recall: Share = 0.9
    hash_family: Literal["voronoi", "hyperplane", "exact"] = "voronoi"
    exact_below: Annotated[int, Field(ge=0)] = 50_000
    leaf_size: Annotated[int, Field(ge=0)] = 0
    tau: Annotated[float, Field(ge=0.0)] = 0.0
    n_tables: Annotated[int, Field(ge=1, le=64)] = 8
    n_bits: Annotated[int, Field(ge=0, le=30)] = 0
    max_unit_rows: Annotated[int, Field(ge=64)] = 131_072
    n_truth_queries: Annotated[int, Field(ge=10)] = 2000
    one_per_recording: bool = True
    spread: bool = True


class FavoritesConfig(Section):
    """Recommendations per listener."""

    k: Annotated[int, Field(ge=1, le=1000)] = 10
    rank_constant: Annotated[int, Field(ge=0)] = 60


class EvaluateConfig(Section):
    """The artist-held-out evaluation."""

    n_splits: Annotated[int, Field(ge=1, le=20)] = 3
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    n_bootstrap: Annotated[int, Field(ge=100)] = 1000
    max_songs: Annotated[int, Field(ge=100)] = 50_000
    first_split: Annotated[int, Field(ge=0)] = 0


class SparkConfig(Section):
    """What the session gets where the launcher did not say."""

    master: str = "local[*]"
    driver_memory: Annotated[str, Field(pattern=r"^\d+[mgMG]$")] = "4g"
    shuffle_partitions: Annotated[int, Field(ge=0)] = 0


class Config(Section):
    """The whole configuration of a run."""

    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    model: ModelConfig = ModelConfig()
    neighbors: NeighborsConfig = NeighborsConfig()
    favorites: FavoritesConfig = FavoritesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    spark: SparkConfig = SparkConfig()


def load_config(*, files: Iterable[str | Path] = (), overrides: Iterable[str] = ()) -> Config:
    """Merge the TOML `files` in order, then the `SECTION.KEY=VALUE` overrides.

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
        A file cannot be read, a key is unknown or a value is out of its range; names all of them.
    """
    layers = [_read_toml(Path(file)) for file in files] + [_parse_override(item) for item in overrides]
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(
            "the configuration is not valid: " + "; ".join(_explain(item) for item in error.errors()[:3]),
            where=", ".join([str(file) for file in files] + list(overrides)),
            todo="conf/base.toml holds every key with its unit and range",
        ) from None


def config_as_dict(config: Config) -> dict[str, Any]:
    """Return the configuration as plain JSON values, as the manifest holds it."""
    plain: dict[str, Any] = json.loads(config.model_dump_json())
    return plain


def describe_config() -> str:
    """Return every key with its default, unit and reason, as TOML."""
    return (Path(__file__).parents[1] / "conf" / "base.toml").read_text(encoding="utf-8")


def resolved_toml(config: Config) -> str:
    """Return every key with the value in effect, as TOML."""
    lines = []
    for name, section in config_as_dict(config).items():
        lines += [f"\n[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in section.items())]
    return "\n".join(lines).lstrip() + "\n"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # A byte order mark is what Windows editors leave behind; TOML itself has none.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration is not TOML: {error}", where=str(path)) from None


def _parse_override(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"--set wants SECTION.KEY=VALUE, found {text!r}", todo="e.g. --set neighbors.k=20")
    nested: Any = _parse_value(value.strip())
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return {section: nested}


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_tables else value
    return merged


def _explain(item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    name = ".".join(path)
    if item["type"] != "extra_forbidden":
        return f"{name}: {item['msg']} (found {str(item['input'])[:60]!r})"
    close = difflib.get_close_matches(name, _all_keys(), n=1, cutoff=0.0)
    return f"unknown key {name!r}; did you mean {close[0]!r}?"


def _all_keys() -> list[str]:
    sections = {name: field.annotation for name, field in Config.model_fields.items()}
    keys = [
        f"{name}.{key}"
        for name, model in sections.items()
        if isinstance(model, type) and issubclass(model, BaseModel)
        for key in model.model_fields
    ]
    return [*sections, *keys]

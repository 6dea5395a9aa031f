"""Layers of a configuration as plain tables: read from files and from the command line, and merged."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from musicrec.errors import ConfigError


class ConfigPath(Protocol):
    """A path that is no text: anything that `open` takes."""

    def __fspath__(self) -> str:
        """Return it as text."""


def read_layer(file: str | ConfigPath) -> dict[str, Any]:
    """Return what a TOML file says.

    Raises
    ------
    ConfigError
        It cannot be read, or is not TOML.
    """
    try:
        # A byte order mark is what Windows editors leave behind; TOML itself has none.
        with open(file, encoding="utf-8-sig") as stream:
            return tomllib.loads(stream.read())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration: {error.strerror}", where=path_text(file)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration is not TOML: {error}", where=path_text(file)) from None


def parse_override(text: str) -> dict[str, Any]:
    """Return `SECTION.KEY=VALUE` as a layer; the value is read as TOML and, where that fails, as plain text.

    Raises
    ------
    ConfigError
        It has another form.
    """
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"--set wants SECTION.KEY=VALUE, found {text!r}", todo="e.g. --set neighbors.k=20")
    nested: Any = _parse_value(value.strip())
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return {section: nested}


def merge_layers(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return all layers as one; later ones win, key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer)
    return merged


def path_text(file: str | ConfigPath) -> str:
    """Return a path as text."""
    return file if isinstance(file, str) else file.__fspath__()


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

"""What is wrong with a configuration, a sentence each: which key, what was expected and what was found."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from musicrec.config_renames import RENAMED

# What Python calls a tuple is a list in TOML.
LIST_WANTED = "Input should be a list, in square brackets"

Model = TypeVar("Model", bound=BaseModel)


def validate(
    model: type[Model], merged: Mapping[str, Any], *, given_as: Mapping[str, str]
) -> tuple[Model | None, list[str]]:
    """Return the configuration, or None, and what is wrong with it.

    Parameters
    ----------
    model : type
    merged : mapping
        All layers as one.
    given_as : mapping
        Key -> the old name under which it was given.
    """
    try:
        return model.model_validate(merged), []
    except ValidationError as error:
        return None, [_explain(model, item, given_as) for item in error.errors()]


def _explain(model: type[BaseModel], item: Any, given_as: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {name!r}; did you mean {_nearest_key(model, name)!r}?"
    shown = f"{name} (given as {given_as[name]})" if name in given_as else name
    told = item["msg"]
    if item["type"] == "tuple_type":
        told = LIST_WANTED
    elif item["type"] == "string_pattern_mismatch":
        # A pattern is no sentence.
        told = f"Input should be {_description(model, item['loc'])}"
    return f"{shown}: {told} (found {str(item['input'])[:60]!r})"


def _description(model: type[BaseModel], place: Sequence[str | int]) -> str:
    field = model.model_fields[str(place[0])]
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return _description(field.annotation, place[1:])
    return str(field.description)


def _nearest_key(model: type[BaseModel], name: str) -> str:
    # Whoever does not know which table a key stands in, or only its old name, is told all the same.
    known = {**RENAMED, **{key.replace(".expert.", "."): key for key in _keys_of(model)}}
    (close,) = difflib.get_close_matches(name.replace(".expert.", "."), known, n=1, cutoff=0.0)
    return known[close]


def _keys_of(model: type[BaseModel]) -> list[str]:
    """Return the tables and keys of a model, those of its tables with a dot."""
    names = []
    for name, each in model.model_fields.items():
        names.append(name)
        if isinstance(each.annotation, type) and issubclass(each.annotation, BaseModel):
            names += [f"{name}.{key}" for key in _keys_of(each.annotation)]
    return names

"""Rows that are no usable song → the quarantine: why, from which file, and what the row says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.catalog import texts
from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.schemas import QUARANTINE
from musicrec.shown import without_controls

MAX_ROW_LENGTH, TOLD_ROWS = 2000, 4096
# An id is longer than this in nobody's catalog.
MAX_ID_LENGTH = 1000


def as_quarantine(ids: pa.StringArray, given: Mapping[str, pa.Array], reasons: pa.StringArray) -> pa.Table:
    """Return `schemas.QUARANTINE` of the rows that have a reason (n,), NULL where they have none.

    Parameters
    ----------
    ids : pyarrow.StringArray
        Of all rows (n,).
    given : mapping
        The columns of the source (n,).
    reasons : pyarrow.StringArray
    """
    place = pc.indices_nonzero(pc.is_valid(reasons))
    columns = [
        texts.cut(ids.take(place), MAX_ID_LENGTH),
        reasons.take(place),
        given[SOURCE_FILE].take(place),
        _row_texts(given, place),
    ]
    return pa.Table.from_arrays(columns, names=QUARANTINE.names)


def _row_texts(given: Mapping[str, pa.Array], place: pa.Int64Array) -> pa.StringArray:
    """Return the text of some rows: as the file has it where it could not be parsed, else as JSON."""
    # What was made of several columns is shown by these.
    names = [name for name in given if not name.startswith("⟨")]
    said = list[str]()
    # A few at a time: as Python's objects they take many times their bytes.
    for first in range(0, len(place), TOLD_ROWS):
        few = place.slice(first, TOLD_ROWS)
        columns = [texts.plain_values(_for_json(given[name].take(few))) for name in names]
        some = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        malformed = given[MALFORMED].take(few).to_pylist()
        texts_of_few = (_as_json(row) if text is None else text for row, text in zip(some, malformed, strict=True))
        said += [without_controls(text[:MAX_ROW_LENGTH]) for text in texts_of_few]
    return pa.array(said, type=pa.string())


def _as_json(row: Mapping[str, Any]) -> str:
    said = {name: _plain(value) for name, value in row.items() if value is not None}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), default=str)


def _plain(value: Any) -> Any:
    """Return a value that JSON has; it has no words for what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _for_json(column: pa.Array) -> pa.Array:
    # 0.1 in single precision is 0.1, not 0.10000000149.
    return pc.cast(pc.cast(column, pa.string()), pa.float64()) if pa.types.is_float32(column.type) else column

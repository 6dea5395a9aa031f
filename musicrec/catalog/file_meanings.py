"""What columns mean must be the same in all files of a source: or shares would stand beside percents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from musicrec.catalog.columns import SOURCE_FILE
from musicrec.catalog.meanings import MIN_VALUES, Meaning, find_meaning
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.songs import FEATURES, SHARES


def find_meaning_of_files(
    columns: Mapping[str, tuple[str, ...]], sample: pa.Table, settings: InputConfig, *, where: str
) -> Meaning:
    """Return what the columns of several files mean, which must be the same in all.

    Parameters
    ----------
    columns : mapping
        As `columns.find_columns`.
    sample : pyarrow.Table
        Some rows of each file.
    settings : InputConfig
    where : str
        The source, for messages.

    Raises
    ------
    InputError
        As `find_meaning`, or files differ in a unit: names them.
    """
    meaning, found = find_meaning(columns, sample, settings, where=where), dict[str, Meaning]()
    files = sample[SOURCE_FILE].unique().to_pylist() if len(sample) else []
    for file in files if len(files) > 1 else []:
        rows = sample.filter(pc.equal(sample[SOURCE_FILE], pa.scalar(file, pa.string())))
        if len(rows) >= MIN_VALUES:
            found[file] = find_meaning(_there(columns, rows), rows, settings, where=file)
    with_comma = [file for file, own in found.items() if own.settings.decimal == ","]
    if with_comma and meaning.settings.decimal != ",":
        _refuse("their decimal sign", (with_comma[0], ","), (next(f for f in files if f not in with_comma), "."))
    for name in FEATURES:
        units = {file: _unit(own, name) for file, own in found.items() if name in own.columns}
        first, *others = units.items() if units else [("", "")]
        for other in others:
            if other[1] != first[1]:
                _refuse(f"the unit of {name}", first, other)
    return meaning


def _refuse(what: str, one: tuple[str, str], other: tuple[str, str]) -> NoReturn:
    raise InputError(
        f"files differ in {what}: {one[1]} in one, {other[1]} in another",
        where=f"{one[0]}, {other[0]}",
        todo="convert one of them: one run reads all alike",
    )


def _there(columns: Mapping[str, tuple[str, ...]], rows: pa.Table) -> dict[str, tuple[str, ...]]:
    """Return the columns that some rows have."""
    kept = {
        name: tuple(source for source in sources if rows[source].null_count < len(rows))
        for name, sources in columns.items()
    }
    return {name: sources for name, sources in kept.items() if sources}


def _unit(meaning: Meaning, name: str) -> str:
    by_default = "ms" if name == "duration_ms" else "share" if name in SHARES else "as it stands"
    return meaning.settings.units.get(name, by_default)

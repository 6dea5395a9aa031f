"""What the columns of an export mean, where their names alone do not say: by a look at the first rows.

What can be told safely is understood, and said; else the refusal holds the line that says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from musicrec.arrays import Doubles
from musicrec.catalog.columns import KNOWN, MALFORMED, OWNERS, SOURCE_FILE, YEAR, line_to_add, unit_said
from musicrec.catalog.dialect import has_decimal_comma
from musicrec.catalog.odd_numbers import has_mode
from musicrec.catalog.texts import as_texts, stripped
from musicrec.catalog.values import MISSING_NUMBERS, feature_numbers
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.songs import FEATURE_RULES, FEATURES, SHARES, bare_id

# Of songs: shorter ones than these milliseconds are none, longer ones than these seconds are albums.
MIN_MS, MIN_S, MAX_S = 10_000, 20, 3600
# Columns of shares above 1 from which all are percent, and values that tell what a column is.
MIN_PERCENT, MIN_VALUES = 3, 3
# Values of a column that are looked at.
MAX_VALUES = 1000


@dataclass(frozen=True)
class Meaning:
    """What columns mean.

    Attributes
    ----------
    columns : dict
        Canonical name -> source names; the first one that has a value in a row serves.
    settings : InputConfig
        With the decimal sign and the units that were found.
    said : tuple of str
        What was understood, a sentence each.
    """

    columns: dict[str, tuple[str, ...]]
    settings: InputConfig
    said: tuple[str, ...] = ()

    @property
    def serving(self) -> dict[str, str]:
        """Canonical name -> the first of its source names."""
        return {name: sources[0] for name, sources in self.columns.items()}


def find_meaning(
    columns: Mapping[str, tuple[str, ...]],
    sample: pa.Table,
    settings: InputConfig,
    *,
    where: str,
    key: str = "columns",
) -> Meaning:
    """Return what the columns of a source mean.

    Parameters
    ----------
    columns : mapping
        As `columns.find_columns`.
    sample : pyarrow.Table
        Some rows.
    settings : InputConfig
    where : str
        The source, for messages.
    key : str
        The table of the configuration that chooses a column.

    Raises
    ------
    InputError
        Two columns may be meant and differ, or a unit cannot be told.
    """
    for name, sources in columns.items():
        _check_same(name, sources, sample, where=where, key=key)
    said = list[str]()
    if settings.decimal == "auto":
        has_comma = has_decimal_comma(_said_texts(columns, sample))
        settings = settings.model_copy(update={"decimal": "," if has_comma else "."})
        said += ["decimal comma"] if has_comma else []
    meaning = Meaning(dict(columns), settings, tuple(said))
    meaning = _with_shares(meaning, sample)
    meaning = _with_duration(meaning, sample, where=where)
    return _with_mode(meaning, sample)


def looks_like(name: str, sample: pa.Table, meaning: Meaning) -> str | None:
    """Return what a feature's values look like that mostly break its rule, None where they do not.

    Parameters
    ----------
    name : str
    sample : pyarrow.Table
    meaning : Meaning
    """
    values = _values(name, meaning.columns, sample, meaning.settings)
    rule = next(rule for rule in FEATURE_RULES if rule.name == name)
    if len(values) < MIN_VALUES or np.mean((values < rule.low) | (values > rule.high)) < 0.5:
        return None
    low, high = np.quantile(values, [0.05, 0.95])
    if name in SHARES and low >= 0 and high <= 100:
        return f"looks like 0..100, which {line_to_add(f'units.{name}', 'percent')} would say"
    if low >= MIN_MS:
        return "looks like duration_ms"
    if low >= -60 and high <= 0:
        return "looks like loudness"
    return "looks like tempo" if low >= 40 and high <= 250 else f"holds {low:g} to {high:g}"


def _check_same(name: str, sources: Sequence[str], sample: pa.Table, *, where: str, key: str) -> None:
    """Refuse two columns for one name that say different things in some row."""
    if len(sources) < 2:
        return
    first, *others = ([_plain(name, text) for text in _texts(sample, source)] for source in sources)
    for source, other in zip(sources[1:], others, strict=True):
        differing = [i for i, (a, b) in enumerate(zip(first, other, strict=True)) if a and b and a != b]
        if differing:
            i = differing[0]
            raise InputError(
                f"two source columns for {name}: {sources[0]!r}, {source!r}; they differ, as in "
                f"{first[i][:40]!r} and {other[i][:40]!r}",
                where=where,
                todo=f"say which one: {line_to_add(f'{key}.{name}', sources[0])}",
            )


def _plain(name: str, text: str | None) -> str:
    said = (text or "").strip().casefold()
    return bare_id((text or "").strip()) if name == "track_id" else "" if said in MISSING_NUMBERS else said


def _texts(sample: pa.Table, source: str) -> list[str | None]:
    if source not in sample.column_names:
        return []
    texts: list[str | None] = stripped(as_texts(_column(sample, source))).to_pylist()
    return texts


def _column(sample: pa.Table, source: str) -> pa.Array:
    column = sample[source].combine_chunks()
    whole = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _said_numbers(name: str, columns: Mapping[str, tuple[str, ...]], sample: pa.Table) -> list[str]:
    """Return what stands in columns of numbers that are no numbers by their type."""
    said = [source for source in _given_sources(name, columns, sample) if not _is_typed(sample, source)]
    return [text for source in said for text in _texts(sample, source) if text]


def _given_sources(name: str, columns: Mapping[str, tuple[str, ...]], sample: pa.Table) -> list[str]:
    return [source for source in columns.get(name, ()) if source in sample.column_names]


def _is_typed(sample: pa.Table, source: str) -> bool:
    kind = sample.schema.field(source).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _said_texts(columns: Mapping[str, tuple[str, ...]], sample: pa.Table) -> list[str]:
    """Return some of what stands in columns of numbers that are text."""
    said = list[str]()
    for name in (*FEATURES, "popularity"):
        sources = tuple(one for one in columns.get(name, ()) if pa.types.is_string(sample.schema.field(one).type))
        said += _said_numbers(name, {name: sources}, sample)[:MAX_VALUES]
    return said


def _values(name: str, columns: Mapping[str, tuple[str, ...]], sample: pa.Table, settings: InputConfig) -> Doubles:
    """Return the finite numbers of a column, as they stand there."""
    said = pa.array(_said_numbers(name, columns, sample)[:MAX_VALUES], type=pa.string())
    typed = [source for source in _given_sources(name, columns, sample) if _is_typed(sample, source)]
    several = [_column(sample, source).drop_null()[:MAX_VALUES] for source in typed]
    found = [feature_numbers(column, decimal=settings.decimal) for column in (said, *several)]
    return np.concatenate([some.values[some.is_number & np.isfinite(some.values)] for some in found])


def _with_shares(meaning: Meaning, sample: pa.Table) -> Meaning:
    """Return the shares with the unit that their names say, or all of them as percent where most are above 1."""
    settings, units = meaning.settings, dict(meaning.settings.units)
    there = [name for name in SHARES if name in meaning.columns and name not in units]
    found = [name for name in there if unit_said(meaning.columns[name][0]) == "percent"]
    others = [name for name in there if name not in found]
    values = {name: _values(name, meaning.columns, sample, settings) for name in others}
    above = [name for name, some in values.items() if len(some) >= MIN_VALUES and np.median(some) > 1]
    if len(above) >= MIN_PERCENT and all(np.all((some >= 0) & (some <= 100)) for some in values.values()):
        found += others
    if not found:
        return meaning
    units |= dict.fromkeys(found, "percent")
    return _with_units(meaning, units, f"percent in {', '.join(name for name in SHARES if name in found)}")


def _with_duration(meaning: Meaning, sample: pa.Table, *, where: str) -> Meaning:
    """Return the duration with its unit: what its name says, or its values tell."""
    if "duration_ms" not in meaning.columns or "duration_ms" in meaning.settings.units:
        return meaning
    source = meaning.columns["duration_ms"][0]
    said, values = unit_said(source), _values("duration_ms", meaning.columns, sample, meaning.settings)
    colons = [text for text in _said_numbers("duration_ms", meaning.columns, sample) if ":" in text]
    if colons:
        # Minutes and seconds say themselves what they are, in whatever column they stand.
        return replace(meaning, said=(*meaning.said, f"minutes and seconds in {source}"))
    median = float(np.median(values[values > 0])) if (values > 0).sum() >= MIN_VALUES else MIN_MS
    if said in ("s", "min"):
        return _with_units(meaning, {**meaning.settings.units, "duration_ms": said}, f"{_LONG[said]} in {source}")
    if median >= MIN_MS:
        return meaning
    if said is None and MIN_S <= median <= MAX_S:
        return _with_units(meaning, {**meaning.settings.units, "duration_ms": "s"}, f"seconds in {source}")
    unit = "s" if median >= MIN_S else "min"
    raise InputError(
        f"{source} looks like {_LONG[unit]}, not like milliseconds: its median is {median:g}",
        where=where,
        todo=f"say its unit: {line_to_add('units.duration_ms', unit)}",
    )


_LONG = {"s": "seconds", "min": "minutes"}


def _with_mode(meaning: Meaning, sample: pa.Table) -> Meaning:
    """Return the key's column as that of the mode, too, where that stands in it: "F#m", "A minor", "8B"."""
    if "mode" in meaning.columns or "key" not in meaning.columns:
        return meaning
    said = _said_numbers("key", meaning.columns, sample)
    if not said or sum(map(has_mode, said)) * 2 < len(said):
        return meaning
    columns = {**meaning.columns, "mode": meaning.columns["key"]}
    return replace(meaning, columns=columns, said=(*meaning.said, f"mode in {meaning.columns['key'][0]}"))


def _with_units(meaning: Meaning, units: Mapping[str, str], sentence: str) -> Meaning:
    settings = meaning.settings.model_copy(update={"units": dict(units)})
    return replace(meaning, settings=settings, said=(*meaning.said, sentence))


def describe_unused(names: Sequence[str], columns: Mapping[str, tuple[str, ...]]) -> str:
    """Return which optional columns are not there, and which of the source are not used; empty where all are."""
    used = {source for sources in columns.values() for source in sources}
    unused = [name for name in names if name not in used and not re.fullmatch(r"Unnamed: \d+", name)]
    absent = [name for name in KNOWN if name not in (*columns, *OWNERS, YEAR, MALFORMED, SOURCE_FILE)]
    if "release_date" in absent and YEAR in columns:
        absent.remove("release_date")
    if not absent:
        return ""
    others = f"; not used: {', '.join(unused[:8])}{', ...' if len(unused) > 8 else ''}" if unused else ""
    return f"no column for {', '.join(absent)}{others}"

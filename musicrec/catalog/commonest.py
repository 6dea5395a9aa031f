"""The value that most songs share → numbers by which a catalog is no catalog.

Of each column of a range only the middle value is looked at: a value that more than half have is the middle one,
and a median costs next to nothing. Added up over the ranges, each count is a lower bound, and a close one where
nearly all songs share a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from musicrec.gates import Measured
from musicrec.messages import WRITTEN_TRACKS, blob_of
from musicrec.songs import FEATURES
from musicrec.spark.arrow import numbers


def middle(values: NDArray[Any]) -> tuple[Any, int]:
    """Return the middle one of the values (n,), none of them NaN, and how many are equal to it; 0 where n is 0."""
    if not len(values):
        return 0, 0
    value = np.partition(values, len(values) // 2)[len(values) // 2]
    return value, int((values == value).sum())


def survey_songs(songs: pa.Table, *, listed_once: str) -> dict[str, Any]:
    """Return what `messages.WRITTEN_TRACKS` say of a range of songs: their middle values, and how many have them.

    Parameters
    ----------
    songs : pyarrow.Table
        `schemas.TRACKS`.
    listed_once : str
        The column of which a list holds each value once. Where that is a song's own, recordings are counted.
    """
    known = [numbers(songs[name].drop_null()) for name in FEATURES]
    values, counts = zip(*map(middle, known), strict=True)
    recording, n_recording = middle(numbers(songs[_grouped(listed_once)]))
    return {
        "values": np.array(values, dtype=np.float64),
        "n_of_value": np.array(counts, dtype=np.int64),
        "n_known": np.array([len(column) for column in known], dtype=np.int64),
        "recording": int(recording),
        "n_of_recording": n_recording,
    }


def count_commonest(values: NDArray[Any], counts: NDArray[Any]) -> tuple[Any, int]:
    """Return the value that has most, of values (n,) and how many have each; one may stand several times."""
    total = Counter[Any]()
    for value, n in zip(values.tolist(), counts.tolist(), strict=True):
        total[value] += n
    # Of equal counts the least value: the order of tasks decides nothing.
    return min(total.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))


def count_of_recording(written: pa.Table) -> int:
    """Return how many songs are the commonest recording, or work, from `messages.WRITTEN_TRACKS`."""
    return count_commonest(numbers(written["recording"]), numbers(written["n_of_recording"]))[1]


def measure_catalog(
    audited: pa.Table,
    written: pa.Table,
    *,
    columns: Collection[str],
    published: Mapping[str, Any],
    listed_once: str,
) -> list[Measured]:
    """Return the numbers by which a catalog is no catalog, for the gates.

    Parameters
    ----------
    audited : pyarrow.Table
        `messages.AUDITED`, of all rows.
    written : pyarrow.Table
        `messages.WRITTEN_TRACKS`, of all songs.
    columns : collection of str
        The canonical names of the columns that the input has.
    published : mapping
        The counts of the run that is published; nothing where none is.
    listed_once : str
        As `survey_songs` has it.
    """
    n_rows, n_songs = sum(audited["n_rows"].to_pylist()), sum(written["n_rows"].to_pylist())
    _, n_of_id = count_commonest(numbers(audited["common_key"]), numbers(audited["n_of_key"]))
    found = [_share("max_one_id", n_of_id, n_rows, "rows are one id")]
    told = f"songs are one {_grouped(listed_once).removesuffix('_key')}"
    found.append(_share("max_one_recording", count_of_recording(written), n_songs, told))
    if isinstance(before := published.get("n_tracks"), int) and before > 0:
        lost = max(0, before - n_songs)
        found.append(_share("max_lost", lost, before, "songs that are published are not in the input any more"))
    return found + _measure_features(written, n_songs=n_songs, columns=columns)


def _grouped(listed_once: str) -> str:
    return "recording_key" if listed_once == "track_key" else listed_once


def _measure_features(written: pa.Table, *, n_songs: int, columns: Collection[str]) -> list[Measured]:
    values, of_value, known = (_by_feature(written, name) for name in ("values", "n_of_value", "n_known"))
    found = []
    for i, name in enumerate(FEATURES):
        if name not in columns:
            continue
        n_known = int(known[:, i].sum())
        value, n_equal = count_commonest(values[:, i], of_value[:, i])
        missing = f"songs have no known {name}"
        found.append(_share("max_missing", n_songs - n_known, n_songs, missing, of=name))
        if n_known:
            found.append(_share("max_one_value", n_equal, n_known, f"songs have {name} {value:g}", of=name))
    return found


def _by_feature(written: pa.Table, name: str) -> NDArray[Any]:
    """Return an array of `messages.WRITTEN_TRACKS` (n_ranges, n_features)."""
    return np.stack([blob_of(WRITTEN_TRACKS, name, blob) for blob in written[name].to_pylist()])


def _share(gate: str, n: int, total: int, told: str, *, of: str = "") -> Measured:
    share = n / max(1, total)
    return Measured(gate, share, total, f"{share:.1%} of {total} {told}", of)

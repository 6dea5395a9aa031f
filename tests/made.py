"""Numbered songs and lists that stand in files, made by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from musicrec.catalog.numbered import Numbered, text_arrays
from musicrec.lists.list_files import ListFiles
from musicrec.lists.nearest import no_places
from musicrec.storage.array_files import ArrayFiles
from tests.roots import as_store

# What makes groups of one column all that the rules of lists look at.
ONE_COLUMN = ("lists.max_per_artist=1000", "lists.max_own_artist=1000", "lists.exclude_flags=[]")


def as_column(facts: Sequence[Any]) -> np.ndarray:
    """Return facts of songs (n, n_facts), given as such or as values of a single column (n,)."""
    return np.array(facts, dtype=np.int64).reshape(len(facts), -1)


def make_numbered(
    directory: Path, ids: Sequence[str], *, keys: Sequence[int], facts: Sequence[Any], n_ranges: int = 1
) -> Numbered:
    """Write what `number` would write of these songs, cut evenly; a fact alone is one of a single column."""
    ordered = sorted(zip(ids, keys, as_column(facts).tolist(), strict=True))
    firsts = np.arange(n_ranges + 1) * len(ids) // n_ranges
    by_id, by_key = ArrayFiles(as_store(directory / "songs")), ArrayFiles(as_store(directory / "keys"))
    for part in range(n_ranges):
        some = ordered[firsts[part] : firsts[part + 1]]
        offsets, text = text_arrays(pa.array([row[0] for row in some], type=pa.string()))
        of_some = (np.array([row[i] for row in some], dtype=np.int64) for i in (1, 2))
        by_id.write(part, offsets=offsets, text=text, **dict(zip(("keys", "facts"), of_some, strict=True)))
    rising = sorted((key, number, some) for number, (_, key, some) in enumerate(ordered))
    for part in range(n_ranges):
        known, numbers, of_known = (
            np.array(column) for column in zip(*rising[firsts[part] : firsts[part + 1]], strict=True)
        )
        by_key.write(part, keys=known, numbers=numbers.astype(np.int32), facts=of_known)
    first_keys = np.array([rising[first][0] for first in firsts[1:-1]], dtype=np.int64)
    return Numbered(by_id, by_key, firsts, tuple(ordered[first][0] for first in firsts[1:-1]), first_keys)


def make_lists(
    directory: Path, numbered: Numbered, lists: Mapping[str, Sequence[tuple[str, float]]], *, k: int
) -> ListFiles:
    """Write lists of ids and scores as `rank` would."""
    ids = [i for part in range(numbered.n_ranges) for i in numbered.ids_of(part).to_pylist()]
    number = {name: i for i, name in enumerate(ids)}
    whole = no_places(len(ids), k=k)
    for name, places in lists.items():
        for rank, (other, score) in enumerate(places):
            whole.places[number[name], rank], whole.scores[number[name], rank] = number[other], score
    files = ArrayFiles(as_store(directory / "lists"))
    for part in range(numbered.n_ranges):
        some = whole.take(slice(numbered.firsts[part], numbered.firsts[part + 1]))
        files.write(part, places=some.places, scores=some.scores)
    return ListFiles(files, numbered, k)

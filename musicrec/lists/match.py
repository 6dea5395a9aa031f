"""Match: favorites → the numbers of the songs that they are, before hours of work that ends with them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from musicrec.catalog.matches import no_match
from musicrec.catalog.numbered import Numbered
from musicrec.catalog.relations import Relation
from musicrec.context import Context
from musicrec.lists import favorite_tasks
from musicrec.spark.arrow import numbers
from musicrec.spark.failures import input_errors
from musicrec.storage import datasets
from musicrec.storage.rows import RowFiles

# Favorites of a range of listeners: a few dozen bytes each, and k times as many votes.
MAX_RANGE_FAVORITES = 250_000


@dataclass(frozen=True)
class Matched:
    """Favorites in files.

    Attributes
    ----------
    files : RowFiles
        `schemas.FAVORITES`.
    pieces : list of int
        Their numbers.
    first_users : tuple of str
        The first listener of each range but the first, rising.
    """

    files: RowFiles
    pieces: list[int]
    first_users: tuple[str, ...]


def write_matched(context: Context, numbered: Numbered, favorites: Relation | None) -> Matched | None:
    """Write `schemas.FAVORITES` and return them, None where none are given.

    Parameters
    ----------
    context : Context
    numbered : Numbered
    favorites : Relation, optional

    Raises
    ------
    InputError
        The favorites cannot be read, or none of them is a song of the catalog.
    """
    if favorites is None:
        return None
    uri = context.config.input.favorites
    with context.stage("match"):
        files = context.files(datasets.FAVORITES)
        with input_errors(uri):
            written = favorite_tasks.write_favorites(favorites, numbered=numbered, files=files).toArrow()
            if not sum(written["n_known"].to_pylist()):
                raise no_match("favorites", favorites, uri=uri, song_id=numbered.ids_of(0)[0].as_py())
        return Matched(files, sorted(written["piece"].to_pylist()), _borders(written))


def _borders(written: pa.Table) -> tuple[str, ...]:
    """Return the first listener of each range but the first; the listeners alone decide them."""
    n_ranges = -(-sum(written["n_rows"].to_pylist()) // MAX_RANGE_FAVORITES)
    if n_ranges <= 1:
        return ()
    users, keys = (written[name].combine_chunks().flatten() for name in ("users", "keys"))
    drawn = favorite_tasks.draw_users(users, numbers(keys))[0].to_pylist()
    places = {i * len(drawn) // n_ranges for i in range(1, n_ranges)}
    return tuple(sorted(drawn)[place] for place in sorted(places - {0}))

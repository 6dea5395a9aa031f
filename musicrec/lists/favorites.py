"""Favorites: what listeners like + lists → the top-k of each listener, by agreement (`fusion.py`)."""

from __future__ import annotations

import pyarrow as pa

from musicrec.catalog.sources import Relation
from musicrec.context import Context, log
from musicrec.lists import favorite_tasks
from musicrec.lists.favorite_tasks import FuseSettings
from musicrec.lists.list_files import ListFiles
from musicrec.messages import LISTENERS
from musicrec.spark.arrow import numbers
from musicrec.spark.failures import input_errors
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets

# Favorites of a range of listeners: a few dozen bytes each, and k times as many votes.
MAX_RANGE_FAVORITES = 250_000


def write_user_recommendations(
    context: Context, lists: ListFiles, favorites: Relation | None
) -> dict[str, int] | None:
    """Write `schemas.USER_RECOMMENDATIONS` as they will be published; return counts, None without favorites.

    Parameters
    ----------
    context : Context
    lists : ListFiles
    favorites : Relation, optional

    Raises
    ------
    InputError
        The favorites cannot be read.
    """
    config = context.config
    if favorites is None:
        return None
    with context.stage("favorites"):
        files = context.files(datasets.FAVORITES)
        with input_errors(config.input.favorites):
            written = favorite_tasks.write_favorites(favorites, numbered=lists.numbered, files=files).toArrow()
        pieces = sorted(written["piece"].to_pylist())
        first_users = _borders(written)
        n_ranges = len(first_users) + 1
        split = favorite_tasks.as_split(
            context.numbers(len(pieces)), files=files, pieces=pieces, first_users=first_users,
            targets=partition_targets(n_ranges),
        )  # fmt: skip
        settings = FuseSettings(
            lists=lists,
            k=config.favorites.k,
            rank_constant=config.favorites.expert.rank_constant,
            one_per_recording=config.neighbors.one_per_recording,
        )
        published = context.files(datasets.USER_RECOMMENDATIONS)
        found = favorite_tasks.write_fused(split, n_ranges=n_ranges, settings=settings, files=published).toArrow()
        if not found.num_rows:
            published.write(0, favorite_tasks.NO_ROWS)
        counts = _total(found)
        log.info("%(n_users)d listeners, %(n_unknown)d of %(n_favorites)d favorites unknown", counts)
        return counts


def _borders(written: pa.Table) -> tuple[str, ...]:
    """Return the first listener of each range but the first; the listeners alone decide them."""
    n_ranges = -(-sum(written["n_rows"].to_pylist()) // MAX_RANGE_FAVORITES)
    if n_ranges <= 1:
        return ()
    users, keys = (written[name].combine_chunks().flatten() for name in ("users", "keys"))
    drawn = favorite_tasks.draw_users(users, numbers(keys))[0].to_pylist()
    places = {i * len(drawn) // n_ranges for i in range(1, n_ranges)}
    return tuple(sorted(drawn)[place] for place in sorted(places - {0}))


def _total(found: pa.Table) -> dict[str, int]:
    names = [name for name in LISTENERS.names if name != "part"]
    return {name: sum(found[name].to_pylist()) for name in names}

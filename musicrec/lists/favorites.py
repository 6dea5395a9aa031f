"""Favorites: what listeners like + lists → the top-k of each listener, by agreement (`fusion.py`)."""

from __future__ import annotations

import pyarrow as pa

from musicrec.context import Context, log
from musicrec.lists import favorite_tasks
from musicrec.lists.favorite_tasks import FuseSettings
from musicrec.lists.list_files import ListFiles
from musicrec.lists.match import Matched
from musicrec.messages import LISTENERS
from musicrec.neighbors.search.rules import make_rules
from musicrec.spark.partitions import partition_targets
from musicrec.spark.tasks import records_in
from musicrec.storage import datasets
from musicrec.storage.rows import FileRecord


def write_user_recommendations(
    context: Context, lists: ListFiles, favorites: Matched | None
) -> tuple[dict[str, int] | None, list[FileRecord]]:
    """Write `schemas.USER_RECOMMENDATIONS` as they will be published; return counts and the files' records.

    Without favorites there are none.

    Parameters
    ----------
    context : Context
    lists : ListFiles
    favorites : Matched, optional
    """
    config = context.config
    if favorites is None:
        return None, []
    with context.stage("favorites"):
        n_ranges = len(favorites.first_users) + 1
        split = favorite_tasks.as_split(
            context.numbers(len(favorites.pieces)), files=favorites.files, pieces=favorites.pieces,
            first_users=favorites.first_users, targets=partition_targets(n_ranges),
        )  # fmt: skip
        settings = FuseSettings(
            lists=lists,
            k=config.favorites.k,
            rank_constant=config.favorites.expert.rank_constant,
            rules=make_rules(config.lists),
        )
        published = context.files(datasets.USER_RECOMMENDATIONS)
        found = favorite_tasks.write_fused(split, n_ranges=n_ranges, settings=settings, files=published).toArrow()
        records = records_in(found) or [published.write_recorded(0, favorite_tasks.NO_ROWS)]
        counts = _total(found)
        log.info("%(n_users)d listeners, %(n_unknown)d of %(n_favorites)d favorites unknown", counts)
        return counts, records


def _total(found: pa.Table) -> dict[str, int]:
    names = [name for name in LISTENERS.names if name.startswith("n_")]
    return {name: sum(found[name].to_pylist()) for name in names}

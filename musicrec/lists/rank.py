"""Rank: neighbors of items → the top-k of each song, in a total order: score down, then id up."""

from __future__ import annotations

from musicrec.catalog.numbered import Numbered
from musicrec.context import Context
from musicrec.lists import members, rank_tasks
from musicrec.lists.list_files import ListFiles
from musicrec.lists.members import Members
from musicrec.lists.rank_tasks import RankSettings
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.search.rules import make_rules
from musicrec.spark.partitions import partition_targets
from musicrec.storage import datasets


def write_lists(context: Context, cells: Cells, numbered: Numbered) -> ListFiles:
    """Write the k nearest songs of each song, by the neighbors that the join has written, and return them.

    Parameters
    ----------
    context : Context
    cells : Cells
    numbered : Numbered
        The songs of the cells.
    """
    with context.stage("rank", n_rows=cells.n_songs):
        settings = context.config.neighbors
        targets = partition_targets(numbered.n_ranges)
        neighbors, files = context.files(datasets.NEIGHBORS), context.arrays(datasets.LISTS)
        units = neighbors.pieces()
        blocks = rank_tasks.as_list_blocks(
            context.numbers(len(units)),
            read=neighbors.read_piece,
            units_of=units,
            settings=RankSettings(
                k=settings.k,
                numbered=numbered,
                rules=make_rules(context.config.lists),
                members=_write_members(context, cells, numbered),
            ),
            targets=targets,
        )
        written = rank_tasks.write_ranges(blocks, firsts=numbered.firsts, k=settings.k, files=files).toArrow()
        n_full = sum(written["n_full"].to_pylist())
        return ListFiles(files, numbered, settings.k, is_any_short=n_full < int(numbered.firsts[-1]))


def _write_members(context: Context, cells: Cells, numbered: Numbered) -> Members | None:
    """Write the songs of each item that several share, and return them; None where there is no such item."""
    if not cells.n_repeated:
        return None
    settings, pieces = context.config.neighbors, cells.repeated.pieces()
    files = context.arrays(datasets.MEMBERS)
    blocks = members.as_member_blocks(
        context.numbers(len(pieces)),
        repeated=cells.repeated,
        numbers_of=pieces,
        numbered=numbered,
        targets=partition_targets(numbered.n_ranges),
    )
    rules = make_rules(context.config.lists)
    found = members.write_members(
        blocks, n_ranges=numbered.n_ranges, k=settings.k, rules=rules, files=files
    ).toArrow()
    return Members(files, frozenset(found["piece"].to_pylist()), numbered)

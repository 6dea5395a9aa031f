"""Ranges of songs → how many of the whole catalog have which facts, for the reasons of short lists."""

from __future__ import annotations

from musicrec.catalog.numbered import Numbered
from musicrec.context import Context
from musicrec.lists.short import ENOUGH, Tally, add_tallies, tally_facts
from musicrec.messages import TALLIED, as_row, blob_of
from musicrec.neighbors.search.rules import ListRules
from musicrec.spark.tasks import Batches, each_number


def count_facts(context: Context, numbered: Numbered, rules: ListRules, *, k: int) -> list[Tally]:
    """Return how many songs have which facts, column by column, as `short.tally_facts` counts those of a range.

    Parameters
    ----------
    context : Context
    numbered : Numbered
    rules : ListRules
    k : int
    """

    def count(batches: Batches) -> Batches:
        for part in each_number(batches):
            (facts,) = numbered.songs.read(part, "facts")
            for column, tally in enumerate(tally_facts(facts, rules, k=k)):
                yield as_row(
                    TALLIED, column=column, is_whole=tally.is_whole, values=tally.values, counts=tally.counts
                )

    several = [list[Tally]() for _ in range(rules.n_facts)]
    for row in context.numbers(numbered.n_ranges).mapInArrow(count, TALLIED).toArrow().to_pylist():
        values, counts = (blob_of(TALLIED, name, row[name]) for name in ("values", "counts"))
        several[row["column"]].append(Tally(values, counts, row["is_whole"]))
    return [add_tallies(each, most=k + 2 if i < rules.n_groups else ENOUGH) for i, each in enumerate(several)]

"""Items of cells, as the tasks that can read them send them: a driver has no copy of what stands in a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.sql import DataFrame

from musicrec.arrays import Ints
from musicrec.messages import SENT_ITEMS, as_row, blob_of
from musicrec.neighbors.search.index import CellIndex, CellReader
from musicrec.neighbors.search.items import Items
from musicrec.spark.tasks import Batches, each_number


@dataclass(frozen=True)
class ItemSettings:
    """Which items: `rows` (n,), rising, are those of all rows; task i sends those of `parts[i]`."""

    rows: Ints
    parts: Ints
    index: CellIndex
    read: Callable[[int], Items]


def as_items(numbers: DataFrame, *, settings: ItemSettings) -> DataFrame:
    """Return `messages.SENT_ITEMS`, a row for each part, in their order.

    Parameters
    ----------
    numbers : DataFrame
        `id`, 0 to the number of parts, a partition each.
    settings : ItemSettings
    """

    def send_batches(batches: Batches) -> Batches:
        bounds, reader = settings.index.bounds, CellReader(settings.read, settings.index)
        for part in settings.parts[list(each_number(batches))].tolist():
            first, last = np.searchsorted(settings.rows, bounds[part : part + 2])
            items = reader.at(settings.rows[first:last])
            yield as_row(SENT_ITEMS, keys=items.keys, facts=items.facts, vectors=items.vectors)

    return numbers.mapInArrow(send_batches, SENT_ITEMS)


def items_in(row: dict[str, bytes], *, vector_type: str) -> Items:
    """Return the items of a row of `messages.SENT_ITEMS`.

    Parameters
    ----------
    row : dict
    vector_type : str
        As the space of the join says.
    """
    keys, facts, vectors = (
        blob_of(SENT_ITEMS, name, row[name], vector_type=vector_type) for name in SENT_ITEMS.names
    )
    return Items(keys, facts.reshape(len(keys), -1), vectors.reshape(len(keys), -1))

"""Tune: how far queries look, by the truth of a sample."""

from __future__ import annotations

from musicrec.context import Context
from musicrec.neighbors.cells import Cells
from musicrec.neighbors.search.hashing import HashFamily
from musicrec.neighbors.search.tune import Queries, tune
from musicrec.neighbors.search.voronoi import Voronoi
from musicrec.neighbors.truth import Truth, asking_points


def tune_family(context: Context, cells: Cells, truth: Truth | None) -> HashFamily:
    """Return the hash of the cells, looking as far as `neighbors.target_recall` needs where that is not given.

    Parameters
    ----------
    context : Context
    cells : Cells
    truth : Truth or None
        None where the lists compare all: then there is nothing to tune.
    """
    family, settings = cells.settings.family, context.config.neighbors
    if truth is None or not isinstance(family, Voronoi) or settings.expert.tau > 0:
        return family
    with context.stage("tune", n_rows=len(truth.queries)):
        queries = Queries(asking_points(truth.queries, truth.space), truth.cells)
        n_items = cells.index.counts[: cells.n_cells]
        return tune(family, queries, target_recall=settings.target_recall, n_items=n_items)[0]

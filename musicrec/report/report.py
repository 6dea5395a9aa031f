"""Report: one page of what a run did, to look at."""

from __future__ import annotations

from typing import Any

from musicrec.catalog.clean import Catalog
from musicrec.context import Context, log
from musicrec.encoder.gate import Shipped
from musicrec.encoder.sample import Songs
from musicrec.encoder.train import Trained
from musicrec.errors import shorten
from musicrec.lists.spread import Spread
from musicrec.neighbors.pack import PackedSongs
from musicrec.report.page import render_report, render_short_report
from musicrec.report.pictures import collect_pictures


def draw_report(
    context: Context,
    catalog: Catalog,
    songs: Songs,
    trained: Trained,
    shipped: Shipped,
    *,
    packed: PackedSongs,
    spread: Spread,
    record: dict[str, Any],
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    songs : Songs
        The sample.
    trained : Trained
    shipped : Shipped
    packed : PackedSongs
        The songs' vectors.
    spread : Spread
        The lists of what is published.
    record : dict
        The manifest, but for what comes after.
    """
    with context.stage("report", n_rows=catalog.n_tracks):
        try:
            pictures = collect_pictures(
                context,
                catalog,
                raw_sample=songs.raw,
                history=trained.history,
                shipped=shipped,
                packed=packed,
                spread=spread,
            )
            return render_report({**record, "stages": context.stages}, pictures)
        # The lists are made and checked: nothing that goes wrong with the page about them is worth a night.
        except Exception as error:
            reason = shorten(f"{type(error).__name__}: {error}")
            log.warning("the report could not be made, a short page stands in its place: %s", reason)
            return render_short_report(record, reason)

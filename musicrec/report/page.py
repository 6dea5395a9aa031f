"""The report: one self-contained HTML page with pictures, readable on a phone and in the dark."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from musicrec.arrays import Doubles, Floats, Ints
from musicrec.context import log
from musicrec.errors import shorten
from musicrec.shown import without_controls
from musicrec.songs import FEATURES

# Feature -> title and factor: milliseconds make labels that run into each other.
SHOWN_AS = {
    "loudness": ("loudness, dB", 1.0),
    "tempo": ("tempo, BPM", 1.0),
    "duration_ms": ("duration, min", 1 / 60_000),
}
ACCENT, SECOND, GRAY = "#3d7eff", "#f28e2b", "#8a8f98"
# Okabe and Ito's colors, which color-blind readers can tell apart.
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#6a3d9a", GRAY)
# Characters of a name on the page, and of one in a picture.
NAME_LENGTH, LABEL_LENGTH = 300, 40


@dataclass(frozen=True)
class Example:
    """A song, its list, and what the shipped encoder was compared with finds: (name, score) by rank."""

    name: str
    neighbors: list[tuple[str, float]]
    rival_neighbors: list[tuple[str, float]]


@dataclass(frozen=True)
class Occurrences:
    """How many songs (m,) of a tenth (m,) of the popularity scale, -1 unknown, stand in how many lists (m,)."""

    tenth: Ints
    n_lists: Ints
    n_songs: Ints


@dataclass(frozen=True)
class Pictures:
    """What is drawn.

    Attributes
    ----------
    raw_features : float64 array, shape (n, 12)
        NaN is missing.
    history : list of (epoch, loss, held-out score)
    points : float32 array, shape (m, 2)
        The map of the catalog.
    labels : list of str, length m
        Genres; empty where none is known.
    scores : dict
        Rank -> scores of a sample of songs.
    examples : list of Example
    occurrences : Occurrences
    """

    raw_features: Doubles
    history: list[tuple[int, float, float]]
    points: Floats
    labels: list[str]
    scores: dict[int, NDArray[Any]]
    examples: list[Example]
    occurrences: Occurrences


def render_report(record: dict[str, Any], pictures: Pictures) -> str:
    """Return the page as HTML; everything from the data is escaped, nothing is loaded from elsewhere.

    Parameters
    ----------
    record : dict
        The manifest's counts, neighbors, model, stages and run.
    pictures : Pictures
    """
    gate = record["model"]["gate"]
    drawn = {
        "features": _draw(lambda figure: _draw_features(figure, pictures.raw_features), width=9, height=6),
        "training": _draw_one(lambda axes: _draw_history(axes, pictures.history)) if pictures.history else "",
        "map": _draw_one(lambda axes: _draw_map(axes, pictures.points, pictures.labels), height=5.0),
        "scores": _draw_one(lambda axes: _draw_scores(axes, pictures.scores)),
        "quality": _draw_one(lambda axes: _draw_quality(axes, gate["precision"])) if "precision" in gate else "",
        "importance": _draw_one(lambda axes: _draw_importance(axes, gate["importance"]), height=4.2)
        if "importance" in gate
        else "",
        "hubs": _draw_one(lambda axes: _draw_hubs(axes, pictures.occurrences)),
        "coverage": _draw_one(lambda axes: _draw_coverage(axes, pictures.occurrences))
        if (pictures.occurrences.tenth >= 0).any()
        else "",
        "recall": _draw_one(lambda axes: _draw_recall(axes, record["neighbors"]["recall_by_density"])),
    }
    return _template("page.html.j2").render(
        record=record,
        drawn=drawn,
        examples=pictures.examples,
        total_s=sum(s["seconds"] for s in record["stages"]),
    )


def render_short_report(record: dict[str, Any], reason: str) -> str:
    """Return the page of a run whose report could not be made: its counts, and why there is no more."""
    return _template("short.html.j2").render(record=record, reason=reason)


def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("musicrec.report", "."),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_as_shown,
    )
    return environment.get_template(name)


def _as_shown(value: Any) -> Any:
    """Return what a page shows of a value: text that nothing obeys, and not a book of it."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return without_controls(value if len(value) <= NAME_LENGTH else value[: NAME_LENGTH - 1] + "…")


def _draw_one(draw: Callable[[Axes], None], *, height: float = 3.6) -> Markup:
    return _draw(lambda figure: draw(figure.add_subplot()), width=6.5, height=height)


def _draw(draw: Callable[[Figure], None], *, width: float, height: float) -> Markup:
    """Return a picture, or what stands in its place: no picture is worth a night."""
    try:
        # What a song or its genre is called is never an instruction.
        no_markup = matplotlib.rc_context({"text.parse_math": False, "text.usetex": False})
        with no_markup, warnings.catch_warnings():
            # Such as of a letter that no font has: a box stands there.
            warnings.simplefilter("ignore", UserWarning)
            return _as_svg(draw, width=width, height=height)
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}")
        log.warning("a picture of the report could not be drawn: %s", reason)
        return Markup('<p class="note">This picture could not be drawn: {}</p>').format(escape(reason))


def _as_svg(draw: Callable[[Figure], None], *, width: float, height: float) -> Markup:
    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure)
    for axes in figure.axes:
        _style(axes)
    picture = io.StringIO()
    FigureCanvasSVG(figure).print_svg(picture, metadata={"Date": None})  # type: ignore[no-untyped-call]
    # Only the picture: the XML header and document type do not belong inside a page.
    svg = picture.getvalue()
    return Markup(svg[svg.index("<svg") :])  # noqa: S704 - matplotlib's own text, which escapes labels


def _style(axes: Axes) -> None:
    # Gray on a transparent ground reads on white and on black.
    axes.patch.set_alpha(0)
    axes.figure.patch.set_alpha(0)
    axes.tick_params(colors=GRAY, labelsize=8)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(GRAY)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(GRAY)
    legend = axes.get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_color(GRAY)


def _draw_features(figure: Figure, raw: Doubles) -> None:
    for i, name in enumerate(FEATURES):
        axes = figure.add_subplot(3, 4, i + 1)
        title, factor = SHOWN_AS.get(name, (name, 1.0))
        known = raw[~np.isnan(raw[:, i]), i] * factor
        if name in ("key", "mode"):
            values, counts = np.unique(known, return_counts=True)
            axes.bar(values, counts, color=ACCENT, width=0.8)
        elif len(known):
            axes.hist(known, bins=40, color=ACCENT, range=_core_range(known))
        axes.set_title(title, fontsize=9)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(4))


def _core_range(values: Doubles) -> tuple[float, float]:
    # A few songs of an hour would leave one bar for all others.
    low, high = np.percentile(values, [0.1, 99.9])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _draw_history(axes: Axes, history: list[tuple[int, float, float]]) -> None:
    epochs, losses, scores = zip(*history, strict=True)
    axes.plot(epochs, losses, color=ACCENT)
    axes.set(xlabel="epoch")
    axes.set_ylabel("training loss, nats", color=ACCENT)
    if not np.isnan(scores).all():
        # A second scale: the score has no unit in common with the loss.
        beside = axes.twinx()
        beside.plot(epochs, scores, color=SECOND)
        beside.set_ylabel("score on held-out artists", color=SECOND)


def _draw_map(axes: Axes, points: Floats, labels: list[str]) -> None:
    names = sorted(set(labels) - {"other", ""}) + [name for name in ("other", "") if name in labels]
    for color, name in zip(PALETTE, names, strict=False):
        chosen = np.array([label == name for label in labels], dtype=bool)
        # As an image inside: thousands of vector dots would make the page heavy.
        x, y = points[chosen].T
        axes.scatter(x, y, s=5, color=color, alpha=0.6, linewidths=0, label=_label(name), rasterized=True)
    if any(names):
        axes.legend(frameon=False, fontsize=8, markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second")


def _label(name: str) -> str:
    shown = shorten(without_controls(name), length=LABEL_LENGTH)
    # A legend leaves out what begins with this.
    return f" {shown}" if shown.startswith("_") else shown


def _draw_recall(axes: Axes, recalls: list[float]) -> None:
    axes.bar(range(1, len(recalls) + 1), recalls, color=ACCENT, width=0.8)
    # From the worst on: bars of 0.97 and 1.0 from zero look the same.
    axes.set_ylim(max(0.0, min(recalls) - 0.05), 1.0)
    axes.set(xlabel="tenths of the songs, from dense to sparse surroundings", ylabel="recall")


def _draw_scores(axes: Axes, scores: dict[int, NDArray[Any]]) -> None:
    filled = {rank: values for rank, values in scores.items() if len(values)}
    low = min((float(np.percentile(values, 1)) for values in filled.values()), default=0.0)
    for color, (rank, values) in zip((ACCENT, SECOND), filled.items(), strict=False):
        axes.hist(values, bins=60, range=(min(low, 0.999), 1.0), alpha=0.6, color=color, label=f"rank {rank}")
    axes.set(xlabel="score (cosine)", ylabel="songs")
    if filled:
        axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_quality(axes: Axes, precision: dict[str, dict[str, float]]) -> None:
    names = list(precision)[::-1]
    means = [precision[name]["mean"] for name in names]
    errors = np.array([[p["mean"] - p["lower"], p["upper"] - p["mean"]] for p in map(precision.get, names) if p]).T
    colors = [ACCENT if name == "encoder" else GRAY for name in names]
    axes.barh(names, means, xerr=errors, color=colors, height=0.6, error_kw={"ecolor": SECOND, "capsize": 3})
    axes.set(xlabel="share of right songs among the first ten (95 % intervals)")


def _draw_importance(axes: Axes, importance: dict[str, float]) -> None:
    names = sorted(importance, key=lambda name: importance[name])
    axes.barh(names, [100 * importance[name] for name in names], color=ACCENT, height=0.7)
    axes.set(xlabel="loss of quality without it, %")


def _draw_hubs(axes: Axes, found: Occurrences) -> None:
    # Bars that double in width: most songs stand in a few lists, some in hundreds.
    edges = np.concatenate([[0, 1], 2 ** np.arange(1, max(2, int(found.n_lists.max(initial=1)).bit_length() + 1))])
    bar = np.searchsorted(edges, found.n_lists, side="right") - 1
    counts = np.bincount(bar, weights=found.n_songs, minlength=len(edges) - 1)[: len(edges) - 1]
    labels = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(edges.tolist())]
    axes.bar(labels, 100 * counts / max(1, found.n_songs.sum()), color=ACCENT, width=0.8)
    axes.tick_params(axis="x", labelrotation=45)
    axes.set(xlabel="lists that hold the song", ylabel="songs, %")


def _draw_coverage(axes: Axes, found: Occurrences) -> None:
    known = found.tenth >= 0
    tenth, n_songs = found.tenth[known], found.n_songs[known]
    songs = np.bincount(tenth, weights=n_songs, minlength=10)
    places = np.bincount(tenth, weights=n_songs * found.n_lists[known], minlength=10)
    x = np.arange(10)
    for offset, values, color, label in ((-0.2, songs, GRAY, "songs"), (0.2, places, ACCENT, "places in lists")):
        axes.bar(x + offset, 100 * values / max(1.0, values.sum()), width=0.4, color=color, label=label)
    axes.set_xticks(x, [f"{10 * i}-{10 * i + 10}" for i in x], rotation=45)
    axes.set(xlabel="popularity", ylabel="%")
    axes.legend(frameon=False, fontsize=8)

"""The evaluation's result as Markdown tables."""

from __future__ import annotations

from typing import Any


def as_text(result: dict[str, Any]) -> str:
    """Return the result as Markdown tables: how good the lists are, and what they do to the catalog."""
    k, methods = result["k"], result["methods"]
    return "\n".join(
        [
            f"{result['n_songs']:,} songs; {result['n_queries']:,} queries of splits {result['splits'][0]} to "
            f"{result['splits'][1]}, by artist; right is who shares {result['judged_by']}; 95 % intervals",
            "",
            f"| method | P@{k} | / z-scored | hit@{k} | nDCG@{k} | recall@{k} | MAP | R-precision "
            f"| P@{k} with own artist | P@{k} of artists with one song |",
            "|---|---|---:|---|---|---:|---:|---:|---:|---:|",
            *[_quality_line(method) for method in methods],
            "",
            "| method | recommended to nobody | Gini | k-occurrence skewness | places of the popular tenth "
            "| novelty, bits | diversity |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *[_exposure_line(method) for method in methods],
            "",
            *_known_lines(result["known_to_playlists"], k=k),
            *_list_lines(result),
        ]
    )


def _quality_line(method: dict[str, Any]) -> str:
    means = method["means"]
    cells = [
        method["method"],
        _interval(means["precision"]),
        f"{method['ratio']['mean']:.2f} ({method['ratio']['lower']:.2f} to {method['ratio']['upper']:.2f})",
        _interval(means["hit"]),
        _interval(means["ndcg"]),
        *[f"{means[name]['mean']:.4f}" for name in ("recall", "average_precision", "r_precision")],
        f"{method['precision_with_own_artist']:.4f}",
        f"{method['precision_of_lone_artists']:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


def _exposure_line(method: dict[str, Any]) -> str:
    exposure = method["exposure"]
    cells = [
        _percent(1 - exposure["coverage"]),
        *[f"{exposure[name]:.2f}" for name in ("gini", "skewness")],
        f"{exposure['popular_share']:.1%}".replace("%", " %"),
        *[f"{exposure[name]:.2f}" for name in ("novelty_bits", "diversity")],
    ]
    return f"| {' | '.join([method['method'], *cells])} |"


def _known_lines(known: dict[str, Any], *, k: int) -> list[str]:
    if not known:
        return []
    return [
        f"half of the playlists given, {known['n_queries']:,} songs in them judged by the others",
        "",
        f"| method | P@{k} | hit@{k} |",
        "|---|---|---|",
        *[f"| {name} | {_interval(p)} | {_interval(hit)} |" for name, (p, hit) in known["methods"].items()],
        "",
    ]


def _list_lines(result: dict[str, Any]) -> list[str]:
    return [
        f"lists of all {result['n_songs']:,} songs by the encoder of split {result['splits'][0]}; P of the "
        "held-out songs' lists, songs by the own artist among them; the language is told by small words of "
        "six languages in titles, where it is, the holidays by flags, which are an input, too",
        "",
        "| lists | P | full | an artist 3 times | two versions | own artist | same language "
        "| holiday songs in lists of holiday songs | in others | years apart "
        "| recommended to nobody | k-occurrence skewness |",
        f"|---|{'---:|' * 11}",
        *[_list_line(name, found) for name, found in result["lists"].items()],
    ]


def _list_line(name: str, found: dict[str, float]) -> str:
    shares = ("repeated_artist", "repeated_work", "own_artist", "same_language", "holiday", "holiday_elsewhere")
    cells = [
        f"{found['precision']:.4f}",
        *[_percent(found[key]) for key in ("full", *shares)],
        f"{found['years_apart']:.0f}",
        _percent(found["forgotten_share"]),
        f"{found['skewness']:.2f}",
    ]
    return f"| {' | '.join([name, *cells])} |"


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def _interval(estimate: dict[str, float]) -> str:
    return f"{estimate['mean']:.4f} ({estimate['lower']:.4f} to {estimate['upper']:.4f})"

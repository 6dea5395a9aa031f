"""When an input is refused as a whole: by the counts of all rows, or of the first ones, where nothing runs yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from musicrec.catalog.clean_tasks import rules_of
from musicrec.catalog.meanings import looks_like
from musicrec.catalog.sources import Source
from musicrec.errors import InputError
from musicrec.songs import FEATURES


def check_counts(counts: Mapping[str, Any], source: Source, *, told: str) -> None:
    """Refuse an input that has no rows, or too few that are songs.

    Parameters
    ----------
    counts : mapping
        `n_rows`, `n_tracks`, `n_quarantined` and `quarantine_reasons`, the commonest first.
    source : Source
    told : str
        Where the refused rows are.

    Raises
    ------
    InputError
        Says why, and what columns look like whose values break their rules.
    """
    settings, n_rows = source.meaning.settings, source.rows.n_rows
    if not counts["n_rows"]:
        raise InputError("the input has no rows", where=settings.tracks, todo="check the export")
    if n_rows is not None and counts["n_rows"] > n_rows:
        raise InputError(
            f"the files hold {n_rows} rows, but {counts['n_rows']} were read", where=settings.tracks,
            todo="leave the inputs as they are while a run reads them, and run again",
        )  # fmt: skip
    share = counts["n_quarantined"] / counts["n_rows"]
    if share > settings.max_quarantine_share or not counts["n_tracks"]:
        raise InputError(
            f"{counts['n_quarantined']} of {counts['n_rows']} rows are no usable song ({share:.1%}; at most "
            f"{settings.max_quarantine_share:.1%} is allowed): {describe_reasons(counts['quarantine_reasons'])}",
            where=f"{settings.tracks}; {told}",
            todo="; ".join([*_guesses(source), _advice(counts["quarantine_reasons"])]),
        )


def preview(source: Source) -> str:
    """Return what becomes of the first rows.

    Raises
    ------
    InputError
        As `check_counts`, of these.
    """
    rows = source.rows.sample.select(source.names)
    found = rules_of(source).audited(rows, source.names)
    reasons = dict(Counter(found.quarantine["reason"].to_pylist()).most_common())
    n_refused = sum(reasons.values())
    counts = {
        "n_rows": len(rows),
        "n_tracks": len(found.songs),
        "n_quarantined": n_refused,
        "quarantine_reasons": reasons,
    }
    check_counts(counts, source, told=f"of the first {len(rows)} rows")
    refused = (
        f"{n_refused} would be refused: {describe_reasons(reasons)}" if n_refused else "none would be refused"
    )
    return f"of the first {len(rows)} rows {refused}"


def describe_reasons(reasons: Mapping[str, int]) -> str:
    """Return the commonest reasons with their rows."""
    return ", ".join(f"{reason} {n}" for reason, n in list(reasons.items())[:4])


def _advice(reasons: Mapping[str, int]) -> str:
    if next(iter(reasons), "") == "popularity_out_of_range":
        return "where popularity counts plays, say --set input.max_popularity=1e12"
    return "correct the export, or raise input.max_quarantine_share"


def _guesses(source: Source) -> list[str]:
    meaning, sample = source.meaning, source.rows.sample
    looks = {name: looks_like(name, sample, meaning) for name in FEATURES if name in meaning.columns}
    return [f"{name} {look}" for name, look in looks.items() if look][:4]

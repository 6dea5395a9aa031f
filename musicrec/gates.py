"""Night gates: what the numbers of a night must keep, or it is not published (`[gates]`).

Whoever knows a number hands it over as `Measured`, as early as it is known; `judge` compares it with its limit.
What compares a night with the one before hands its numbers over in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from musicrec.config import GatesConfig
from musicrec.errors import QualityError

# Of these a number must not be below its limit, of all others not above.
LOWER_LIMITS = ("min_encoder_ratio",)
# More would not be read.
MAX_TOLD = 3


@dataclass(frozen=True)
class Measured:
    """A number of a night, and what it says.

    Attributes
    ----------
    gate : str
        The key of `[gates]` that limits it.
    value : float
        0..1, but for a ratio.
    n : int
        How many songs or rows it was measured on.
    told : str
        The sentence that says it, without its limit.
    of : str
        What it is about, where a gate has several numbers, such as a feature.
    """

    gate: str
    value: float
    n: int
    told: str
    of: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a number.

    Attributes
    ----------
    measured : Measured
    limit : float
    is_judged : bool
        It was measured on enough.
    """

    measured: Measured
    limit: float
    is_judged: bool

    @property
    def is_over(self) -> bool:
        """Whether it stops the night."""
        return self.is_judged and self.excess > 0

    @property
    def excess(self) -> float:
        """How far it is beyond its limit."""
        beyond = self.measured.value - self.limit
        return -beyond if self.measured.gate in LOWER_LIMITS else beyond


def judge(numbers: Iterable[Measured], *, limits: GatesConfig) -> list[Verdict]:
    """Return what the gates say of some numbers."""
    return [
        Verdict(each, float(getattr(limits, each.gate)), is_judged=each.n >= limits.min_songs) for each in numbers
    ]


def over_limit(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return of each gate that stops the night the number that is furthest over its limit."""
    worst: dict[str, Verdict] = {}
    for verdict in verdicts:
        gate = verdict.measured.gate
        if verdict.is_over and (gate not in worst or verdict.excess > worst[gate].excess):
            worst[gate] = verdict
    return list(worst.values())


def check_verdicts(verdicts: Sequence[Verdict], *, accepted: str) -> None:
    """Raise where a number stops the night and nobody accepted it.

    Raises
    ------
    QualityError
        Names the numbers, their limits, and what to do.
    """
    over = over_limit(verdicts)
    if not over or accepted:
        return
    told = [f"{each.measured.told}{_others(each, verdicts)}" for each in over]
    limits = ", ".join(f"gates.{each.measured.gate} = {each.limit:g}" for each in over)
    raise QualityError(
        "this night is not published: " + "; ".join(told[:MAX_TOLD]),
        where=limits,
        todo='mend the input; or, if it is right, run again with --accept "WHY", or '
        + " and ".join(f"{_loosen(each)} gates.{each.measured.gate}" for each in over),
    )


def as_record(verdicts: Sequence[Verdict], *, accepted: str) -> dict[str, Any]:
    """Return what the manifest says of some numbers: of each gate the one that is furthest."""
    record: dict[str, Any] = {}
    for verdict in sorted(verdicts, key=lambda each: each.excess):
        measured = verdict.measured
        record[measured.gate] = {
            "value": round(measured.value, 6),
            "limit": verdict.limit,
            "n": measured.n,
            **({"of": measured.of} if measured.of else {}),
            "judged": verdict.is_judged,
            "over": verdict.is_over,
            "overruled": verdict.is_over and bool(accepted),
        }
    return record


def _loosen(verdict: Verdict) -> str:
    return "lower" if verdict.measured.gate in LOWER_LIMITS else "raise"


def _others(worst: Verdict, verdicts: Sequence[Verdict]) -> str:
    names = [
        each.measured.of
        for each in verdicts
        if each.is_over and each.measured.gate == worst.measured.gate and each is not worst
    ]
    return f"; so it is with {', '.join(names)}" if names else ""

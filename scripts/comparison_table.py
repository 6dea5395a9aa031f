"""The neighbor join beside its peers as a Markdown table."""

from __future__ import annotations

from comparison import OURS, Absent, Measurement, Outcome
from watching import GIB


def middle_run(outcomes: list[Outcome], method: str, target: float) -> Measurement | None:
    """Return the run of median wall time, the quicker of two; its other figures belong to it.

    Parameters
    ----------
    outcomes : list of Outcome
    method : str
    target : float
        The recall that was asked.
    """
    runs = [
        run for run in outcomes if isinstance(run, Measurement) and (run.method, run.target) == (method, target)
    ]
    return sorted(runs, key=lambda run: run.wall_s)[(len(runs) - 1) // 2] if runs else None


def table_lines(outcomes: list[Outcome], *, k: int) -> list[str]:
    """Return a Markdown table of the medians, target by target, and what did not run."""
    methods = list(dict.fromkeys(outcome.method for outcome in outcomes))
    targets = sorted({run.target for run in outcomes if isinstance(run, Measurement)})
    lines = [
        f"| method | settings | recall asked | recall@{k} (95 % at least) | wall, s (build + query) | CPU, s "
        f"| peak memory, GB | wall, {OURS} / this |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for target in targets:
        ours = middle_run(outcomes, OURS, target)
        for method in methods:
            run = middle_run(outcomes, method, target)
            if run:
                lines.append(_table_line(run, ours))
    absent = {outcome.method: outcome.reason for outcome in outcomes if isinstance(outcome, Absent)}
    lines += [f"| {method} | {reason} | | | | | | |" for method, reason in absent.items()]
    if any(isinstance(run, Measurement) and run.recall < run.target for run in outcomes):
        lines += ["", "† the best that it reached is less than asked"]
    return lines


def _table_line(run: Measurement, ours: Measurement | None) -> str:
    mark = " †" if run.recall < run.target else ""
    parts = f" ({run.build_s:.1f} + {run.wall_s - run.build_s:.1f})" if run.build_s else ""
    cells = [
        f"{run.method} {run.version}".strip(),
        run.settings,
        f"{run.target:g}",
        f"{run.recall:.4f} ({run.recall_lower_95:.4f}){mark}",
        f"{run.wall_s:.1f}{parts}",
        f"{run.cpu_s:.1f}",
        f"{run.peak / GIB:.1f}",
        f"{ours.wall_s / run.wall_s:.2f}" if ours else "",
    ]
    return f"| {' | '.join(cells)} |"

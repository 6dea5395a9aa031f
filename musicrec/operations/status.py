"""Is what is published as young as it should be, and how did the last run end? What a monitor asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from musicrec.errors import StorageError, shorten
from musicrec.operations.shown_times import told_age, told_time
from musicrec.storage.history import as_time
from musicrec.storage.lease import holder
from musicrec.storage.pointer import read_pointer
from musicrec.storage.runs import Root, read_state

KILLED = "the last run was killed"


def report_status(root: Root, *, max_age_s: float | None = None) -> tuple[list[str], list[str]]:
    """Return lines that say how things stand, and what is not well.

    Parameters
    ----------
    root : Root
    max_age_s : float, optional
        How old what is published may be.

    Raises
    ------
    StorageError
        The store fails.
    """
    held = holder(root)
    live, faults = _live(root, max_age_s)
    latest, more = _latest(root, is_held=bool(held))
    if more == [KILLED]:
        # It may have begun while we looked, and ended, too.
        held = holder(root)
        latest, more = _latest(root, is_held=bool(held))
    under_way = f"under way  {held}" if held else "under way  nothing"
    return [*live, *latest, under_way], [*faults, *more]


def _live(root: Root, max_age_s: float | None) -> tuple[list[str], list[str]]:
    try:
        pointer = read_pointer(root)
    except StorageError as error:
        return [f"live       {error.what}"], [error.what]
    at = as_time(pointer.get("published_at"))
    age = (datetime.now(UTC) - at).total_seconds() if at else float("inf")
    action = f", by {pointer['action']}" if pointer.get("action") == "rollback" else ""
    told = f"{told_age(age)} ago" if at else "nobody knows when"
    line = f"live       {pointer['run_id']}, version {pointer.get('version', '?')}{action}, published {told}"
    if max_age_s is not None and age > max_age_s:
        return [line], [f"what is published is {told_age(age)} old; at most {told_age(max_age_s)} was asked"]
    return [line], []


def _latest(root: Root, *, is_held: bool) -> tuple[list[str], list[str]]:
    """Return how the run ended that was started last."""
    states = [state for run_id in root.works() if (state := read_state(root, run_id))]
    if not states:
        return ["last run   none is known"], []
    # Times are in seconds, and of one second the later run is that of the higher number.
    latest = max(reversed(states), key=lambda state: str(state.get("noted_at")))
    line = f"last run   {latest.get('run_id')}: {' '.join(_told(latest))}"
    outcome = latest.get("state")
    if outcome == "running" and not is_held:
        return [f"{line}, but nobody holds the lock: it was killed"], [KILLED]
    return [line], [f"the last run {outcome}"] if outcome in ("failed", "refused") else []


def _told(state: dict[str, Any]) -> Iterator[str]:
    yield str(state.get("state"))
    stages = state.get("stages")
    if isinstance(stages, list) and stages and isinstance(stages[-1], dict) and stages[-1].get("failed"):
        yield f"in {stages[-1].get('stage')}"
    yield f"at {told_time(as_time(state.get('noted_at')))}"
    if state.get("code") is not None:
        yield f"with exit code {state['code']}"
    if state.get("message"):
        yield f"({shorten(str(state['message']), length=160)})"

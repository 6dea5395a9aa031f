"""A run: its name, its places under the output root, and what became of it.

What stages hand on stands in `work/<run_id>/`. What is published stands under its final name from the start, in
`published/snapshots/<run_id>/`: a store of objects knows no rename. Readers follow the pointer, which leads there
last.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.datasets import Dataset
from musicrec.storage.numbers import RUN_ID, take_number
from musicrec.storage.plain import as_json, without_secrets
from musicrec.storage.stores import MissingError, Store, open_store

MANIFEST, REPORT, STATE = "manifest.json", "report.html", "state.json"
PUBLISHED = "published"
POINTER, HISTORY, SNAPSHOTS, WORK = f"{PUBLISHED}/current.json", f"{PUBLISHED}/history", "snapshots", "work"
NUMBERS = "run-numbers.json"
AGAIN = "run `musicrec refresh`"


@dataclass(frozen=True)
class Root:
    """What stands under `output.root`."""

    store: Store

    @property
    def uri(self) -> str:
        """The root as a path or a URI, without credentials."""
        return self.store.uri

    def where(self, name: str) -> str:
        """Return what stands under a name as a path or a URI."""
        return f"{self.uri}/{name}"

    def snapshot(self, run_id: str) -> Store:
        """Return the place of what a run publishes, immutable once it was current."""
        return self.store.below(f"{PUBLISHED}/{SNAPSHOTS}/{run_id}")

    def work(self, run_id: str) -> Store:
        """Return the place of what a run's stages hand on."""
        return self.store.below(f"{WORK}/{run_id}")

    def snapshots(self) -> list[str]:
        """Return the runs that have written a part of a snapshot at least, by date and number."""
        return _run_ids(self.store.children(f"{PUBLISHED}/{SNAPSHOTS}"))

    def works(self) -> list[str]:
        """Return the runs that have work, by date and number."""
        return _run_ids(self.store.children(WORK))


@dataclass(frozen=True)
class Run:
    """One refresh."""

    run_id: str
    root: Root

    @property
    def work(self) -> Store:
        """Where all stages of this run write."""
        return self.root.work(self.run_id)

    @property
    def snapshot(self) -> Store:
        """Where what it publishes stands."""
        return self.root.snapshot(self.run_id)

    def place(self, dataset: Dataset) -> Store:
        """Return where a dataset of this run is written."""
        return (self.snapshot if dataset.is_published else self.work).below(dataset.name)

    def note(self, state: str, **more: Any) -> None:
        """Say what becomes of the run, in `state.json` of its work.

        Parameters
        ----------
        state : {"running", "failed", "refused", "published"}
        more : JSON values
            What else there is to say.
        """
        self.work.put(STATE, as_json(without_secrets(_state(self.run_id, state, more))).encode())


def open_root(uri: str, *, hadoop: Mapping[str, str] | None = None, patience_s: int | None = None) -> Root:
    """Return the output root at a path or a URI.

    Parameters
    ----------
    uri : str
    hadoop, patience_s : optional
        As `open_store` takes them.

    Raises
    ------
    ConfigError
        It is not set, or no store of its kind is known.
    """
    if not uri:
        raise ConfigError("output.root is not set", todo="set it in [output] or with --set output.root=DIR")
    return Root(open_store(uri, hadoop=hadoop, patience_s=patience_s))


def start_run(root: Root, *, run_date: date) -> Run:
    """Return a run with a name that no run has had, the date and a number, and make its work directory.

    Raises
    ------
    StorageError
        Nothing can be written.
    """
    day = run_date.isoformat()
    standing = [name for name in (*root.works(), *root.snapshots()) if name.startswith(day)]
    with contextlib.suppress(StorageError, ValueError, KeyError, TypeError):
        standing.append(str(json.loads(root.store.get(POINTER))["run_id"]))
    while True:
        run = Run(f"{day}-{take_number(root.store, NUMBERS, day=day, standing=standing):03d}", root)
        state = as_json(_state(run.run_id, "running", {"started_at": utc_now()}))
        # Where two have taken one number, one of them makes this.
        if run.work.create(STATE, state.encode()):
            return run
        standing.append(run.run_id)


def read_state(root: Root, run_id: str) -> dict[str, Any]:
    """Return what is known of what became of a run; nothing where it does not say."""
    try:
        found = json.loads(root.work(run_id).get(STATE))
    except (MissingError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _state(run_id: str, state: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"run_id": run_id, "state": state, "noted_at": utc_now(), **more}


def utc_now() -> str:
    """Return the time as files tell it, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run_ids(names: list[str]) -> list[str]:
    """Return those that are names of runs, by date and number; what else stands beside them is not ours."""
    found = [(match.groups(), name) for name in names if (match := RUN_ID.fullmatch(name))]
    return [name for _, name in sorted(found, key=lambda item: (item[0][0], int(item[0][1])))]

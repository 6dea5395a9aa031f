"""What every stage of a run shares: the session, the configuration, the run, and what each stage took."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from musicrec.config import Config
from musicrec.errors import MusicrecError, StorageError, shorten
from musicrec.gates import Measured, Verdict, as_record, check_verdicts, judge, over_limit
from musicrec.spark.tasks import read_pieces
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.datasets import Dataset
from musicrec.storage.ending import check_ending
from musicrec.storage.lease import Lease
from musicrec.storage.rows import RowFiles
from musicrec.storage.runs import Run

log = logging.getLogger("musicrec")

# Exit codes of what a look at the data has stopped: the input, a gate.
REFUSED = (3, 4)

# What a stage does, as a line of progress says it.
DOING = {
    "clean": "cleaning songs",
    "sample": "drawing a sample",
    "artists": "adding up songs by artist",
    "train": "training the encoder",
    "gate": "judging the encoder",
    "start": "starting Python workers",
    "embed": "embedding songs",
    "read": "reading vectors",
    "pack": "packing vectors",
    "plan": "planning cells",
    "cells": "filling cells",
    "truth": "finding the truth of a sample",
    "tune": "choosing how far to look",
    "join": "finding neighbors",
    "number": "numbering songs",
    "match": "matching favorites with songs",
    "rank": "ranking lists",
    "spread": "spreading places",
    "sort": "sorting lists",
    "favorites": "lists for listeners",
    "check": "checking what was written",
    "report": "drawing the report",
    "publish": "publishing",
    "write": "writing neighbors",
}


@dataclass
class Context:
    """A run under way.

    Attributes
    ----------
    session : SparkSession
    config : Config
    run : Run
    plan : sequence of str
        The stages that there may be, in order; a stage's number is its position. One that has nothing to do is
        left out.
    before : mapping
        What each stage of the run before took, by its name, where that is known.
    accepted : str
        Why a night is published that the gates of `[gates]` would stop; empty where nobody said so.
    published : mapping
        The counts of the run that is published; nothing where none is.
    lease : Lease
        What keeps other runs out, and is looked at when a stage begins.
    base : int
        The version that was current when the run began.
    promote : bool
        Make the result current also where what is current is of a later day.
    stages : list of dict
        What each stage took, in order, the failed one included; becomes a part of the manifest.
    verdicts : list of Verdict
        What the gates have said so far; another part of it.
    """

    session: SparkSession
    config: Config
    run: Run
    plan: Sequence[str] = ()
    before: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accepted: str = ""
    published: Mapping[str, Any] = field(default_factory=dict)
    lease: Lease = field(default_factory=Lease)
    base: int = 0
    promote: bool = False
    stages: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @contextlib.contextmanager
    def stage(self, name: str, *, n_rows: int | None = None) -> Iterator[None]:
        """Time a stage, and log a line when it begins and when it ends or fails."""
        check_ending()
        self.lease.check()
        # It tells who looks; a store that fails is told by what needs it.
        with contextlib.suppress(StorageError):
            self.run.note("running", stage=name)
        known = {
            "stage": name,
            "doing": DOING[name],
            "number": self.plan.index(name) + 1 if name in self.plan else None,
            "total": len(self.plan) or None,
            "n_rows": n_rows,
            "estimate_s": self._estimate(name, n_rows),
        }
        log.info("%s", name, extra={"event": "begin", "seconds": None, **known})
        started, clock, event = datetime.now(UTC), time.monotonic(), "failed"
        try:
            yield
            event = "end"
        finally:
            seconds = round(time.monotonic() - clock, 2)
            took = {"stage": name, "started_at": started.isoformat(), "seconds": seconds, "n_rows": n_rows}
            self.stages.append(took if event == "end" else {**took, "failed": True})
            log.info(
                "%s %s after %.1f s", name, event, seconds, extra={"event": event, "seconds": seconds, **known}
            )

    def _estimate(self, name: str, n_rows: int | None) -> float | None:
        """Return how long a stage will take, in seconds: as long as before, for as many rows."""
        before = self.before.get(name, {})
        if n_rows and before.get("n_rows"):
            return float(before["seconds"]) * n_rows / float(before["n_rows"])
        return before.get("seconds")

    def judge(self, numbers: Iterable[Measured]) -> None:
        """Let the gates of `[gates]` judge some numbers; the sooner, the less is done in vain.

        Raises
        ------
        QualityError
            One of them is over its limit, and nobody accepted this night.
        """
        found = judge(numbers, limits=self.config.gates)
        self.verdicts += found
        check_verdicts(found, accepted=self.accepted)
        for verdict in over_limit(found):
            log.warning("accepted: %s", verdict.measured.told)

    def gates(self) -> dict[str, Any]:
        """Return what the manifest says of the gates."""
        return {"accepted": self.accepted or None, **as_record(self.verdicts, accepted=self.accepted)}

    def read(self, dataset: Dataset) -> DataFrame:
        """Return the rows of a dataset of this run, which tasks read."""
        files = self.files(dataset)
        pieces = files.pieces()
        return read_pieces(self.numbers(len(pieces)), pieces, read=files.read_piece, schema=dataset.schema)

    def files(self, dataset: Dataset) -> RowFiles:
        """Return the files of a dataset that tasks, or the driver, write themselves."""
        return RowFiles(self.run.place(dataset))

    def arrays(self, dataset: Dataset) -> ArrayFiles:
        """Return the arrays of a dataset that tasks write themselves."""
        return ArrayFiles(self.run.place(dataset))

    def numbers(self, n: int) -> DataFrame:
        """Return `id` 0..n-1, a partition each: the numbers of what tasks read."""
        return self.session.range(0, n, 1, max(1, n))


@contextlib.contextmanager
def recorded(context: Context, *, header: Mapping[str, Any]) -> Iterator[None]:
    """Leave what is known of a run that fails beside its work: its header, its stages, and why."""
    try:
        yield
    except BaseException as error:
        gates = {"gates": context.gates()} if context.verdicts else {}
        told = error if isinstance(error, MusicrecError) else MusicrecError(str(error))
        code = getattr(error, "exit_code", None)
        # The store may be what failed; the first error is the one to tell.
        with contextlib.suppress(Exception):
            context.run.note(
                "refused" if code in REFUSED else "failed",
                **{**header, **gates, "stages": context.stages, "code": code, "kind": type(error).__name__,
                   "message": shorten(told.what), "where": shorten(told.where), "todo": told.todo},
            )  # fmt: skip
        raise

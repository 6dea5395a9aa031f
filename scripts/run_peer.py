"""Run one peer in a process of its own: at the cheapest setting that reaches each recall, as JSON.

The clock is kind to the peers. Vectors are in memory before it starts, lists need not be written when it stops,
and the search for the cheapest setting that reaches a recall is free; ours is timed from Parquet to Parquet and
finds its setting on the clock. A peer starts with a warm index, since the search for its setting has used it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from peers import PACKAGES, PEERS, Peer, PeerError, Setup
from truth import Truth, mean_and_lower, read_vectors, recall_per_query

from musicrec.arrays import Floats, Ints
from musicrec.storage.files import write_text


@dataclass(frozen=True)
class Answer:
    """The lists of all vectors at one setting: recall on the truth and the time of the query (since 1970)."""

    target: float
    settings: str
    recall: float
    recall_lower_95: float
    query: tuple[float, float]


def without_self(found: Ints, rows: Ints, *, k: int) -> Ints:
    """Return the first k of each list that are not the row itself; where it is missing, the first k.

    Parameters
    ----------
    found : int64 array, shape (n, k + 1)
    rows : int64 array, shape (n,)
    k : int
    """
    is_self = found == rows[:, None]
    return np.take_along_axis(found, np.argsort(is_self, axis=1, kind="stable"), axis=1)[:, :k]


class Bench:
    """One peer on one data set: remembers what each setting found, so that no setting is timed twice."""

    def __init__(self, peer: Peer, vectors: Floats, truth: Truth, *, k: int) -> None:
        self._peer, self._vectors, self._truth, self._k = peer, vectors, truth, k
        self._queries = np.ascontiguousarray(vectors[truth.rows])
        self._recalls: dict[int, float] = {}
        self._answers: dict[int, Answer] = {}

    def answer(self, target: float) -> Answer:
        """Return the lists of the first setting that reaches the recall, else of the best."""
        rung = self._choose(target)
        self._measure(rung)
        # A setting may serve the sampled queries and fail on all.
        while self._choose(target) != rung:
            rung = self._choose(target)
            self._measure(rung)
        return replace(self._answers[rung], target=target)

    def _choose(self, target: float) -> int:
        for rung in self._peer.ladder:
            if self._try(rung) >= target:
                return rung
        return max(self._peer.ladder, key=self._try)

    def _try(self, rung: int) -> float:
        if rung not in self._recalls:
            if self._peer.answers_all:
                self._measure(rung)
            else:
                self._recalls[rung] = self._judge(self._peer.query(self._queries, rung))[0]
        return self._recalls[rung]

    def _measure(self, rung: int) -> None:
        if rung in self._answers:
            return
        started = time.time()
        found = self._peer.query(self._vectors, rung)
        query = (started, time.time())
        mean, lower = self._judge(found[self._truth.rows])
        self._recalls[rung] = mean
        self._answers[rung] = Answer(mean, self._peer.settings.format(rung), mean, lower, query)

    def _judge(self, found: Ints) -> tuple[float, float]:
        lists = without_self(found, self._truth.rows, k=self._k)
        return mean_and_lower(recall_per_query(lists, self._truth, self._vectors))


def run_peer(
    name: str, vectors: Floats, truth: Truth, setup: Setup, *, targets: list[float]
) -> Iterator[dict[str, Any]]:
    """Build once, answer at each recall target; yield the version, the build's time and the answers so far.

    Parameters
    ----------
    name : str
        Of `PEERS`.
    vectors : float32 array, shape (n, d)
        Of unit length.
    truth : Truth
    setup : Setup
    targets : list of float
        Recalls, rising.
    """
    peer = PEERS[name](vectors, setup)
    started = time.time()
    peer.build()
    build = (started, time.time())
    bench = Bench(peer, vectors, truth, k=setup.k)
    answers = []
    for target in targets:
        answers.append(asdict(bench.answer(target)))
        yield {"version": importlib.metadata.version(PACKAGES[name]), "build": build, "answers": answers}


def main() -> int:
    """Run one peer as told and write what it did as JSON."""
    parser = argparse.ArgumentParser(description="Run one peer; scripts/benchmark.py neighbors runs them all.")
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--vectors", type=Path, required=True, metavar="DIR")
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--recalls", required=True, metavar="R,R,...")
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--driver-memory", required=True, metavar="SIZE")
    arguments = parser.parse_args()
    _, vectors = read_vectors(arguments.vectors)
    truth = Truth.load(arguments.truth)
    distance = float(np.sqrt(max(0.0, 2 - 2 * np.median(truth.scores[:, -1]))))
    setup = Setup(arguments.k, arguments.threads, arguments.driver_memory, distance)
    targets = [float(target) for target in arguments.recalls.split(",")]
    try:
        # Each file appears whole: the process may be ended at any time.
        for result in run_peer(arguments.name, vectors, truth, setup, targets=targets):
            write_text(arguments.output, json.dumps(result))
    except PeerError as reason:
        write_text(arguments.output, json.dumps({"unavailable": str(reason)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Songs by their numbers, against sorting by hand."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicrec.catalog import number
from musicrec.catalog.number import write_vector_numbers
from musicrec.catalog.numbered import Numbered, text_arrays, texts_of
from musicrec.config import load_config
from musicrec.context import Context
from musicrec.errors import QualityError
from musicrec.storage import runs
from tests.made import make_numbered

TEXTS = st.lists(st.text(min_size=0, max_size=8), min_size=1, max_size=40, unique=True)


def lookups(numbered: Numbered, ids: list[str], keys: np.ndarray, recordings: np.ndarray) -> tuple[dict, dict]:
    """Return what each way to look songs up finds, and what it should."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    everyone = np.arange(len(ids))
    by_hand = np.empty(len(ids), dtype=np.int64)
    by_hand[order] = everyone
    strangers = np.setdiff1d(np.concatenate([keys - 1, keys + 1, [0]]), keys)
    # The key of another song tells nothing of an id.
    asked, asked_keys = [*ids, "no such id", *ids[:3]], np.concatenate([keys, keys[:1], keys[:3]])
    unknown = pa.array(["no such id"] * len(strangers))
    found = {
        "ids": numbered.ids(everyone),
        "keys": numbered.keys(everyone),
        "facts": numbered.facts(everyone),
        "songs of keys": numbered.of_keys(keys)[0],
        "facts of keys": numbered.of_keys(keys)[1],
        "known": numbered.knows(np.concatenate([strangers, keys])),
        "songs of ids": numbered.of_ids(pa.array(asked, type=pa.string()), asked_keys),
        "songs of strangers": numbered.of_ids(unknown, strangers),
    }
    expected = {
        "ids": [ids[i] for i in order],
        "keys": keys[order].tolist(),
        "facts": recordings[order].tolist(),
        "songs of keys": by_hand.tolist(),
        "facts of keys": recordings.tolist(),
        "known": [False] * len(strangers) + [True] * len(keys),
        "songs of ids": [*by_hand.tolist(), -1, *by_hand[:3].tolist()],
        "songs of strangers": [-1] * len(strangers),
    }
    return {name: values.tolist() for name, values in found.items()}, expected


@given(TEXTS, st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_ids_keys_and_numbers_lead_to_each_other(tmp_path: Path, ids: list[str], n_ranges: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = rng.permutation(np.linspace(-(2**63), 2**63 - 2048, len(ids)).astype(np.int64))
    recordings = rng.integers(0, 5, (len(ids), 3))
    ids = [text.encode("utf-8", "ignore").decode() + f"#{i}" for i, text in enumerate(ids)]
    numbered = make_numbered(
        tmp_path, ids, keys=keys.tolist(), facts=recordings.tolist(), n_ranges=min(n_ranges, len(ids))
    )
    found, expected = lookups(numbered, ids, keys, recordings)
    assert found == expected


def test_a_key_of_no_song_is_refused(tmp_path: Path) -> None:
    numbered = make_numbered(tmp_path, ["a", "b"], keys=[1, 5], facts=[1, 5], n_ranges=2)
    for stranger in (-9, 3, 9):
        with pytest.raises(QualityError, match="does not have"):
            numbered.of_keys(np.array([1, stranger]))


def test_texts_survive_slices_and_emptiness() -> None:
    texts = pa.array(["", "é", "日本", "b", ""])
    for first in range(5):
        for length in range(5 - first + 1):
            some = texts.slice(first, length)
            assert texts_of(*text_arrays(some)).to_pylist() == some.to_pylist()


@pytest.mark.parametrize("partitions", [1, 6])
def test_spark_numbers_them_in_many_ranges(
    spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    monkeypatch.setattr(number, "MIN_RANGE_SONGS", 100)
    monkeypatch.setattr(number, "ROWS_PER_FILE", 1000)
    rng = np.random.default_rng(3)
    alphabet = list("aZ09é日😀 _")
    ids = sorted({"".join(rng.choice(alphabet, rng.integers(1, 9))) for _ in range(1500)}, key=lambda i: i[::-1])
    keys, recordings = (
        rng.permutation(2**62 // len(ids) * np.arange(len(ids)) - 2**61),
        rng.integers(0, 99, (len(ids), 2)),
    )
    table = pa.table({"track_id": ids, "track_key": keys, "facts": recordings.tolist()})
    config = load_config(overrides=["neighbors.k=10", "input.tracks=none"])
    context = Context(spark, config, runs.start_run(runs.open_root(str(tmp_path)), run_date=date(2026, 1, 2)))
    songs = spark.createDataFrame(table).repartition(partitions)
    numbered = write_vector_numbers(context, songs, n_songs=len(ids))
    assert numbered.n_ranges > 10
    assert (np.diff(numbered.firsts) > 0).all()
    assert np.diff(numbered.firsts).max() < 3 * 100
    found, expected = lookups(numbered, ids, keys, recordings)
    assert found == expected

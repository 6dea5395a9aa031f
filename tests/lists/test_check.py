"""What is checked before it is published: each broken promise is seen, and files are read back."""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from musicrec.catalog.clean import Catalog
from musicrec.catalog.clean_tasks import NO_QUARANTINE
from musicrec.config import load_config
from musicrec.context import Context
from musicrec.errors import QualityError
from musicrec.lists.check import write_status
from musicrec.lists.check_tasks import as_status, find_problems
from musicrec.lists.list_files import ListFiles
from musicrec.lists.nearest import Places
from musicrec.lists.sort import write_recommendations
from musicrec.storage import datasets, runs
from musicrec.storage.rows import RowFiles
from tests.made import ONE_COLUMN, make_lists, make_numbered

NAN = float("nan")
Lists = dict[str, list[tuple[str, float]]]
# Lists of song 5 of 9, of three places.
BROKEN = {
    "a list has a gap": ([1, -1, 2], [0.9, NAN, 0.8]),
    "recommends a song that the catalog does not have": ([1, 9, -1], [0.9, 0.8, NAN]),
    "recommends itself": ([5, -1, -1], [0.9, NAN, NAN]),
    "recommends a song twice": ([1, 2, 1], [0.9, 0.9, 0.8]),
    "a score is no cosine": ([1, -1, -1], [1.1, NAN, NAN]),
    "scores rise": ([1, 2, -1], [0.8, 0.9, NAN]),
}


def places(ids: list[int], scores: list[float]) -> Places:
    return Places(np.array([ids], dtype=np.int32), np.array([scores], dtype=np.float32))


@pytest.mark.parametrize("problem", BROKEN)
def test_each_broken_promise_is_seen(problem: str) -> None:
    assert {
        name: rows.tolist() for name, rows in find_problems(places(*BROKEN[problem]), first=5, n_songs=9).items()
    } == {problem: [0]}


def test_a_score_that_is_no_number_is_seen() -> None:
    assert list(find_problems(places([1, 2, -1], [NAN, 0.5, NAN]), first=5, n_songs=9)) == ["a score is no cosine"]


def test_a_good_list_has_no_problem() -> None:
    assert find_problems(places([1, 2, -1], [0.9, 0.9, NAN]), first=5, n_songs=9) == {}


def test_refused_ids_stand_between_the_songs_unless_they_are_one() -> None:
    lists = Places(
        np.array([[1, -1], [-1, -1]], dtype=np.int32), np.array([[0.5, NAN], [NAN, NAN]], dtype=np.float32)
    )
    refused = pa.table({"track_id": ["a", "b", "d"], "reason": ["missing_id", "tempo_nan", "tempo_nan"]})
    status = as_status(pa.array(["b", "c"]), lists, refused=refused, reasons=pa.array([None, "no_more_songs"]))
    assert [tuple(row.values()) for row in status.to_pylist()] == [
        ("a", "quarantined", "missing_id", 0),
        ("b", "recommended", None, 1),
        ("c", "not_recommended", "no_more_songs", 0),
        ("d", "quarantined", "tempo_nan", 0),
    ]


def published(spark, root: Path, lists_of: Lists) -> tuple[Context, ListFiles, RowFiles]:
    """Write the recommendations of a few songs as a run does."""
    config = load_config(overrides=["neighbors.k=2", "input.tracks=none", *ONE_COLUMN])
    context = Context(spark, config, runs.start_run(runs.open_root(str(root)), run_date=date(2026, 1, 2)))
    keys = range(len(lists_of))
    numbered = make_numbered(root, list(lists_of), keys=keys, facts=keys, n_ranges=2)
    lists = make_lists(root, numbered, lists_of, k=2)
    write_recommendations(context, lists)
    return context, lists, context.files(datasets.RECOMMENDATIONS)


def catalog_of(context: Context, n: int, refused: pa.Table | None = None) -> Catalog:
    files = context.files(datasets.QUARANTINE)
    files.write(0, NO_QUARANTINE if refused is None else refused)
    quarantine = context.read(datasets.QUARANTINE)
    counts = {"n_quarantined": 0 if refused is None else len(refused)}
    return Catalog(quarantine=quarantine, n_tracks=n, counts=counts, columns={}, files=[], ordered=None)


LISTS = {"a": [("b", 0.9), ("c", 0.5)], "b": [("a", 0.9)], "c": [("a", 0.5), ("b", 0.4)], "d": []}


def test_files_are_read_back_and_every_song_has_a_status(spark, tmp_path: Path) -> None:
    context, lists, written = published(spark, tmp_path, LISTS)
    refused = pa.table(
        {"track_id": ["b", "bb", "bb", None], "reason": ["tempo_nan", "key_nan", "energy_nan", "missing_id"],
         "source_file": ["f"] * 4, "row": ["{}"] * 4}
    )  # fmt: skip
    counts, records = write_status(context, catalog_of(context, 4, refused), lists)
    assert counts == {
        "n_recommended": 3, "n_not_recommended": 1, "n_recommendations": 5, "n_short_lists": 2,
        "short_list_rules": {"rules together": 2},
    }  # fmt: skip
    rows = context.files(datasets.STATUS).read().to_pylist()
    assert [(each.path, each.rows, each.first_id, each.last_id) for each in records] == [
        ("part-00000.parquet", 3, "a", "bb"), ("part-00001.parquet", 2, "c", "d")
    ]  # fmt: skip
    status = context.run.place(datasets.STATUS)
    assert [each.sha256 for each in records] == [
        hashlib.sha256(status.get(each.path)).hexdigest() for each in records
    ]
    assert [(row["track_id"], row["status"], row["reason"], row["n_recommendations"]) for row in rows] == [
        ("a", "recommended", None, 2),
        ("b", "recommended", "rules together", 1),
        ("bb", "quarantined", "energy_nan", 0),
        ("c", "recommended", None, 2),
        ("d", "not_recommended", "rules together", 0),
    ]
    assert written.read().to_pylist()[:2] == [
        {"track_id": "a", "rank": 1, "recommended_track_id": "b", "score": pytest.approx(0.9)},
        {"track_id": "a", "rank": 2, "recommended_track_id": "c", "score": pytest.approx(0.5)},
    ]


def test_a_value_that_changed_on_the_disk_stops_the_run(spark, tmp_path: Path) -> None:
    context, lists, written = published(spark, tmp_path, LISTS)
    rows = written.read_piece(1)
    scores = rows["score"].to_numpy().copy()
    scores[-1] += np.float32(1e-6)
    written.write(1, rows.set_column(3, "score", pa.array(scores)))
    with pytest.raises(QualityError, match=r"what the files hold is not what was written \(2 songs, e.g. c\)"):
        write_status(context, catalog_of(context, 4), lists)


def test_a_list_that_breaks_a_promise_stops_the_run(spark, tmp_path: Path) -> None:
    context, lists, _ = published(spark, tmp_path, {**LISTS, "d": [("d", 0.5), ("a", 0.6)]})
    with pytest.raises(QualityError) as error:
        write_status(context, catalog_of(context, 4), lists)
    assert "recommends itself (1 songs, e.g. d)" in str(error.value)
    assert "scores rise (1 songs, e.g. d)" in str(error.value)

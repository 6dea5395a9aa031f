import importlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

digest = importlib.import_module("digest")

ROWS = pa.table(
    {
        "track_id": ["a", "a", "b", "c", "d", None],
        "rank": pa.array([1, 2, 1, 1, 1, 1], type=pa.int32()),
        "score": pa.array([0.5, 0.25, 0.5, None, 0.0, float("nan")], type=pa.float32()),
    }
)


def changed(column: str, row: int, value: object) -> pa.Table:
    values = ROWS.column(column).to_pylist()
    values[row] = value
    return ROWS.set_column(
        ROWS.column_names.index(column), column, pa.array(values, type=ROWS.schema.field(column).type)
    )


def publish(root: Path, rows: pa.Table, *, n_files: int = 1) -> str:
    """Write `rows` as the recommendations of a root, a part of them in each file."""
    run_id = "2026-05-06-001"
    table = root / "published/snapshots" / run_id / "recommendations"
    table.mkdir(parents=True)
    for i in range(n_files):
        part = rows.take(list(range(i, rows.num_rows, n_files)))
        pq.write_table(part, table / f"part-{i:05d}.parquet")
    (root / "published/current.json").write_text(
        json.dumps({"run_id": run_id, "snapshot": f"snapshots/{run_id}", "schema_version": 1})
    )
    return str(root)


@pytest.mark.parametrize("order", [[5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]])
def test_the_order_of_rows_changes_nothing(order: list[int]) -> None:
    assert digest.digest_rows(ROWS.take(order)) == digest.digest_rows(ROWS)


@pytest.mark.parametrize(
    "rows",
    [
        changed("score", 0, 0.50000006),
        changed("score", 4, -0.0),
        changed("score", 3, 0.0),
        changed("track_id", 5, "None"),
        changed("rank", 2, 2),
        ROWS.slice(1),
        pa.concat_tables([ROWS, ROWS.slice(0, 1)]),
        ROWS.rename_columns(["track_id", "rank", "cosine"]),
        ROWS.set_column(1, "rank", ROWS.column("rank").cast("int64")),
        # The same values, but not in the same rows.
        ROWS.set_column(2, "score", ROWS.column("score").take([1, 0, 2, 3, 4, 5])),
    ],
)
def test_any_other_row_does(rows: pa.Table) -> None:
    assert digest.digest_rows(rows) != digest.digest_rows(ROWS)


def test_roots_are_compared_whatever_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, many = (
        publish(tmp_path / "one", ROWS),
        publish(tmp_path / "many", ROWS.take([3, 1, 5, 0, 2, 4]), n_files=3),
    )
    other = publish(tmp_path / "other", changed("rank", 2, 2))
    assert digest.main([one, many, "--compare"]) == 0
    lines = capsys.readouterr().out.splitlines()
    value = digest.digest_rows(ROWS)[:16]
    assert lines == [f"one recommendations 6 {value}", f"many recommendations 6 {value}"]
    assert digest.main([one, many, other, "--compare"]) == 1
    assert "different rows" in capsys.readouterr().err
    assert digest.main([one, other]) == 0


def test_a_table_that_one_root_lacks_is_a_difference(tmp_path: Path) -> None:
    one, two = publish(tmp_path / "one", ROWS), publish(tmp_path / "two", ROWS)
    status = tmp_path / "two/published/snapshots/2026-05-06-001/status"
    status.mkdir()
    pq.write_table(ROWS, status / "part-00000.parquet")
    assert digest.main([one, two, "--compare"]) == 1


def test_a_root_without_a_snapshot_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert digest.main([publish(tmp_path / "one", ROWS), str(tmp_path / "two")]) == 1
    assert "nothing is published" in capsys.readouterr().err


def test_rows_that_one_root_alone_has_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = publish(tmp_path / "one", ROWS), publish(tmp_path / "two", changed("rank", 2, 2))
    assert digest.main([one, two, "--compare"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"only in {one}: recommendations {{'track_id': 'b', 'rank': 1, 'score': 0.5}}",
        f"only in {two}: recommendations {{'track_id': 'b', 'rank': 2, 'score': 0.5}}",
        "error: the roots hold different rows: 2 differences",
    ]


def test_other_columns_and_missing_tables_are_told(tmp_path: Path) -> None:
    wider = ROWS.set_column(1, "rank", ROWS.column("rank").cast("int64"))
    one, two = publish(tmp_path / "one", ROWS), publish(tmp_path / "two", wider)
    (line,) = digest.differences(one, two)
    assert line.startswith("recommendations: track_id: string, rank: int32")
    assert "rank: int64" in line
    status = tmp_path / "two/published/snapshots/2026-05-06-001/status"
    status.mkdir()
    pq.write_table(ROWS, status / "part-00000.parquet")
    assert digest.differences(one, two)[1].startswith(f"status: none in {one}, track_id: string")

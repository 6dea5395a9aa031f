"""The real songs, as their makers exported them: every row is read and accounted for."""

import csv
import gzip
from pathlib import Path

import pytest
from pyspark.sql.types import StringType, StructField, StructType

from musicrec.catalog.columns import MALFORMED
from musicrec.catalog.formats import read_rows
from musicrec.config import InputConfig
from tests.catalog.test_bad_input import read_in
from tests.conftest import FMA, TIDYTUESDAY

pytestmark = pytest.mark.realdata


def test_every_row_is_a_song_or_a_duplicate(spark, tmp_path: Path) -> None:
    _, counts = read_in(spark, TIDYTUESDAY, tmp_path)
    names = ("n_rows", "n_tracks", "n_duplicates", "n_quarantined")
    assert [counts[name] for name in names] == [32_833, 28_356, 4477, 0]


def test_line_breaks_inside_real_quotes(spark) -> None:
    rows = read_rows(spark, str(FMA), InputConfig())
    columns = [*rows.names, MALFORMED]
    schema = StructType([StructField(f"column{i}", StringType()) for i in range(len(columns))])
    found = rows.map(lambda batches: batches, schema, columns=columns).toPandas().set_axis(columns, axis=1)
    assert len(found) == 17_734
    assert found[MALFORMED].isna().all()
    with gzip.open(FMA, "rt", encoding="utf-8-sig", newline="") as file:
        expected = sum(field.count("\n") for row in csv.reader(file) for field in row)
    fields = found.drop(columns=[MALFORMED]).to_numpy().ravel()
    assert sum(str(field).count("\n") for field in fields) == expected > 0

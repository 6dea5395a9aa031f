"""The real songs, as their makers exported them: every row is read and accounted for."""

import csv
import gzip
import re
import unicodedata
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql.types import StringType, StructField, StructType

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.catalog.formats import read_rows
from musicrec.catalog.named import as_named
from musicrec.catalog.recordings import find_recordings
from musicrec.config import InputConfig
from tests.catalog.test_audit import rules_of
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


def plain(text: str) -> str:
    """Return what a person takes for the same: no case, accents, signs, guests."""
    text = re.sub(r"(?i)[(\[]\s*(feat\.?|ft\.?|featuring|with)\s[^)\]]*[)\]]", "", text)
    letters = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter) and letter not in "'’`")
    return " ".join(re.findall(r"\w+", letters.replace("&", " and ")))


def test_songs_of_one_name_and_length_are_one_recording() -> None:
    songs = pd.read_csv(TIDYTUESDAY, dtype=str, keep_default_na=False).drop_duplicates("track_id")
    nothing = pa.nulls(len(songs), pa.string())
    table = pa.Table.from_pandas(songs, preserve_index=False)
    table = table.append_column(MALFORMED, nothing).append_column(SOURCE_FILE, nothing)
    audited = rules_of(list(songs)).audited(table, table.column_names).songs
    recordings = find_recordings(as_named(audited))
    groups = defaultdict(list)
    said = (audited[name].to_pylist() for name in ("artist", "title", "duration_ms"))
    for row, (artist, title, duration) in enumerate(zip(*said, strict=True)):
        if artist and title and plain(title):
            groups[plain(artist), plain(title)].append((row, duration))
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    near = [(a, b) for (a, one), (b, other) in pairs if abs(one - other) <= 0.03 * max(one, other)]
    assert len(near) > 2000
    apart = [(a, b) for a, b in near if recordings[a] != recordings[b]]
    assert apart == []
    # What is one recording shares words of its title: no group swallows others.
    of_recording = defaultdict(set)
    for (_, title), group in groups.items():
        for row, _ in group:
            of_recording[recordings[row]].update(title.split()[:1])
    assert sum(len(words) > 1 for words in of_recording.values()) < 10

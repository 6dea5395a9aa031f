"""JSON in the shapes that services and programs write."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.contents import Content
from musicrec.catalog.json_rows import NotJsonError, read_documents, rows_of
from musicrec.catalog.text_files import names_of, open_text
from musicrec.config import InputConfig


def documents(text: str, *, size: int = 7) -> list[dict[str, str | None]]:
    chunks = (text[i : i + size] for i in range(0, len(text), size))
    return [row for rows in read_documents(chunks) for row in rows]


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False)
SONGS = st.lists(st.fixed_dictionaries({"id": st.text("abc", min_size=1), "energy": VALUES}), max_size=5)


@given(SONGS, st.sampled_from([None, 1]), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_an_array_is_read_however_it_is_written(songs, indent, size: int) -> None:
    found = documents(json.dumps(songs, indent=indent), size=size)
    assert [row["id"] for row in found] == [song["id"] for song in songs]
    for row, song in zip(found, songs, strict=True):
        value = song["energy"]
        if isinstance(value, str) or value is None:
            assert row["energy"] == value
        elif isinstance(value, int) and not isinstance(value, bool):
            # All digits stay: it may be an id.
            assert row["energy"] == str(value)
        else:
            assert float({"true": "1", "false": "0"}.get(row["energy"] or "", row["energy"] or "")) == value


TRACK = {"id": "a", "name": "T", "artists": [{"name": "A"}, {"name": "B"}], "album": {"name": "L"}}
SHAPES = {
    "playlist": {"tracks": {"items": [{"added_at": "x", "track": TRACK}]}},
    "page": {"href": "x", "items": [{"track": TRACK}]},
    "tracks": {"tracks": [TRACK]},
    "song": TRACK,
    "list": [TRACK],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_of_a_service(shape: str) -> None:
    (row,) = rows_of(SHAPES[shape])
    plain = {name.removeprefix("track."): text for name, text in row.items()}
    assert {"id": "a", "name": "T", "artists": "A; B", "album.name": "L"}.items() <= plain.items()


def test_features_of_an_answer_are_those_of_the_song_with_their_id() -> None:
    answer = {
        "tracks": {"items": [{"track": TRACK}, {"track": {**TRACK, "id": "b"}}]},
        "audio_features": [{"id": "b", "energy": 0.5}, {"id": "a", "energy": float("nan")}, None],
    }
    rows = rows_of(json.loads(json.dumps(answer)))
    assert [(row["track.id"], row["energy"]) for row in rows] == [("a", "nan"), ("b", "0.5")]


def test_data_frames() -> None:
    by_column = {"id": {"0": "a", "1": "b"}, "energy": {"0": 1, "1": None}, "key": {"0": 3, "1": 4}}
    split = {"columns": ["id", "energy"], "index": [0, 1], "data": [["a", 1], ["b", None]]}
    for frame in (by_column, split):
        assert [(row["id"], row["energy"]) for row in rows_of(frame)] == [("a", "1"), ("b", None)]


@pytest.mark.parametrize("text", ['[{"id":1},{"id"', '{"a":', "[1,2", '[{"id":1}', "x", '[{"id":1}]]'])
def test_what_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(NotJsonError):
        documents(text)


def held(text: bytes) -> Content:
    return Content("file:///songs.json", lambda first, last: iter([text[first:last]]), True)


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a", "e": NaN}\n{"id": "b", "é": Infinity}\n',
        '[{"id": "a", "e": 1}, {"id": "b", "é": 1}]',
        '[\n{"id": "a", "e": 1},\n{"id": "b", "é": 1}\n]',
        '{"items": [\n {"id": "a", "e": 1},\n {"id": "b", "é": 1}\n]}',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_json(text: str, encoding: str) -> None:
    file = open_text(held(text.encode(encoding)), "jsonl", InputConfig())
    assert names_of(file) == ["id", "e", "é"]
    found = [row["id"] for batch in file.read(["id"]) for row in batch.table.to_pylist()]
    assert found == ["a", "b"]


@given(st.lists(st.sampled_from(['{"id": "x"}', '{"id": "long one é"}', "no json", ""]), max_size=8),
       st.lists(st.integers(0, 200), max_size=4))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_pieces_of_json_lines_read_each_line_once(lines: list[str], cuts: list[int]) -> None:
    text = ('{"id": "first"}\n' + "\n".join(lines)).encode()
    file = open_text(held(text), "jsonl", InputConfig())
    borders = [0, *sorted({cut % len(text) for cut in cuts} - {0}), None]
    pieces = [batch for a, b in pairwise(borders) for batch in file.read(["id"], first=a, last=b)]
    found = [row["id"] for batch in pieces for row in batch.table.to_pylist()]
    assert found == ["first", *(json.loads(line)["id"] for line in lines if line.startswith("{"))]
    assert [line for batch in pieces for line in batch.malformed] == [line for line in lines if line == "no json"]

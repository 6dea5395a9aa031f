"""Write docs/tables.md: every published and every work table, and the keys of the JSON files beside them.

What a row is, the columns and their types come from `musicrec.schemas` and `musicrec.storage.datasets`, the
reasons from the rules of `musicrec.songs`. What a column means stands here; one that is missing is an error.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from described_keys import POINTER, REPORT, Key, manifest_keys, state_keys
from pyspark.sql.types import StructType

from musicrec import schemas
from musicrec.songs import FEATURE_RULES, FeatureRule
from musicrec.storage import datasets
from musicrec.storage.datasets import Dataset

TARGET = Path(__file__).parents[1] / "docs" / "tables.md"

UNITS = {"loudness": "dB", "tempo": "beats a minute", "duration_ms": "milliseconds"}
FEATURE_TEXT = {"key": "0 is C, 11 is B", "mode": "0 is minor, 1 is major"}

# What a column means, wherever it stands; `table.column` where it means something else there.
COLUMNS = {
    "track_id": "the id of the song, as the input has it, without `spotify:track:` and the like",
    "rank": "1 is the best; no gaps",
    "recommended_track_id": "the song that is recommended",
    "score": "cosine of the two embeddings, -1 to 1",
    "user_id": "the listener, as the input has it",
    "user_recommendations.track_id": "the song that is recommended; never a favorite nor another release of "
    "one, nor a song that `[lists]` keeps out of all lists; of an artist at most `lists.max_per_artist`. Rules "
    "between a song and its list (`max_own_artist`, `years_apart`, `same`, `clean_for_clean`, holiday and karaoke "
    "songs) are kept in the favorites' lists alone",
    "user_recommendations.score": "agreement of the favorites' lists, above 0; 1 is first in the list of each",
    "because_of": "the favorite whose list holds the song highest",
    "status": "what became of the song, see below",
    "reason": "why its list has fewer than `neighbors.k` songs, see below; NULL where it has as many",
    "quarantine.reason": "the first rule that the row breaks, see below",
    "n_recommendations": "length of its list, 0 to `neighbors.k`",
    "track_key": "64-bit hash of `track_id`, the key inside of a run",
    "recording_key": "the same for the releases of one recording: one title, an artist in common, and about one "
    "length or one sound; no song without title or artist shares it",
    "work_key": "the same for the versions of one work: artists in common, and one title without what stands in "
    "brackets, after a dash, or for a version (live, acoustic); all of one recording are of one work; a part of "
    "a work (Part 2, Op. 9) is one of its own",
    "artist_key": "the same for the songs of one first artist, various ones among them; NULL where there is none",
    "album_key": "the same for the songs of an artist that are of one album and year; NULL without an album",
    "same_key": "the same for songs with the same values in the columns of `lists.same`; NULL without any",
    "flags": "what title, album and genre say, a sum: 1 live, 2 karaoke, 4 for the holidays, 8 a remix; and 256 "
    "times those of them that the genre alone tells",
    "title": "cut to a bounded length",
    "artist": "as the input has them, several in one text; cut to a bounded length",
    "album": "cut to a bounded length",
    "release_date": "ISO: a day, a month or a year",
    "release_year": "its first four digits",
    "popularity": "0 to `input.max_popularity`, in the input's unit",
    "genre": "as the input has it, cut to a bounded length",
    "explicit": "true or false; NULL where it is not known",
    "quarantine.track_id": "the id, where the row has one",
    "source_file": "the file that the row stands in",
    "row": "the row as JSON, or its text where it could not be parsed; the first 2,000 characters",
    "embedding": "the vector, of length 1; its values are exact in half precision",
    "item_key": "the smallest `track_key` of its songs: those of one vector, and of equal facts where these "
    "are few",
    "self_score": "score of the song with those that share its vector",
    "neighbor_keys": "`item_key` of the nearest items, best first",
    "scores": "their scores, falling",
    "n_lists": "lists that the song stands in",
    "song": "the number of the song: its place in the order of ids, from 0",
    "guest": "number of a song that no list holds",
    "host": "number of the song in whose list it gets a place",
    "places.score": "of the two songs",
    "removed": "number of the song that loses its place, -1 where the list has room",
    "target": "sends the row to the task of its range",
    "part": "the range of songs",
    "refused.track_id": "the id of a row in the quarantine",
    "refused.reason": "the first of the reasons, by their names",
    "favorites.track_id": "the id of the favorite, as the input has it, without `spotify:track:` and the like",
    "favorites.song": "its number, -1 where the catalog does not have it",
    "id": "of the vector",
    "neighbor_id": "the id of its neighbor",
    "vectors.score": "cosine, inner product, or minus the distance, as `metric` in report.json says",
} | {rule.name: FEATURE_TEXT.get(rule.name, "") for rule in FEATURE_RULES}

# Of datasets whose files are no tables.
FILES = {
    "model": "`encoder.safetensors` (the weights), `encoder.json` (what turns songs into inputs, and the layers); "
    "`checkpoint-*.safetensors` only while a training is under way, or after it was cut",
    "packed": "numbered pieces of vectors, three arrays each: `keys.npy` (int64), `facts.npy` (int64, a row each: "
    "what the rules of `[lists]` need to know), `vectors.npy` (half or single precision, a row each); deleted "
    "when the cells are written",
    "items": "parts of the cells: the same three arrays, items in the order of their cells",
    "songs": "pieces of songs, Arrow files, in which an id may stand several times; deleted when the tracks are "
    "written",
    "names": "what recordings and works of each piece of songs are found by, in the order of titles; deleted then",
    "releases": "the songs whose recording or work another one names, by part of all titles and range of ids; "
    "deleted with them",
    "numbered": "songs in the order of their ids, by range of their numbers, four arrays each: `offsets.npy` "
    "(int32) and `text.npy` (bytes of UTF-8) are the ids, `keys.npy` and `facts.npy` (int64, a row each)",
    "numbered-keys": "the same songs in the order of their keys, by range of these: `keys.npy`, `numbers.npy` "
    "(int32), `facts.npy`",
    "members": "songs that share a vector with others, by range of the number of the song that names the item: "
    "`items.npy` and `self_scores.npy`, and of each item its songs, `starts.npy`, `songs.npy`, `facts.npy`, and "
    "those that a list can hold, `listed_starts.npy`, `listed.npy`, `listed_facts.npy`",
    "lists": "lists by range of numbers, before songs in no list get a place: `places.npy` (int32, a row of "
    "`neighbors.k` numbers for each song, -1 where a place is empty) and `scores.npy` (single precision, NaN "
    "there)",
}

STATUS = {
    "recommended": "the song has a list",
    "not_recommended": "it is a song of the catalog, but has no list",
    "quarantined": "no row with this id is a usable song",
}
WITHOUT_LIST = {
    "no_other_song": "the catalog has this one song only",
    "no_other_work": "all songs of the catalog are versions of one work",
    "no_other_recording": "works may stand twice, and all songs of the catalog are releases of one recording",
    "no_more_songs": "the catalog has no more than this list could hold",
    "<rule> leaves <n>": "of the rules in `[lists]` this one by itself leaves fewest songs, n in the whole "
    "catalog: `one_per_work`, `one_per_recording`, `max_per_album`, `max_per_artist, max_own_artist`, "
    "`explicit`, `exclude_flags`, `exclude`, `min_seconds, max_seconds`, `years_apart`, `same`",
    "rules together": "each rule by itself leaves enough songs; under all of them the join met fewer",
}
ROW_REASONS = {
    "malformed_row": "the row could not be parsed",
    "missing_id": "it has no id, and `input.id_from` makes none",
    "popularity_out_of_range": "below 0 or above `input.max_popularity`",
    "release_date_out_of_range": "more than a year after the run's date",
    "too_few_features": "fewer known features than `input.min_features`",
    "local_file": "the same, of a file of a listener's own (`spotify:local:...`)",
    "id_too_long": "its id has more than 1,000 characters",
    "id_rounded": "its id is a number that a spreadsheet has rounded, such as 1.23457E+11",
}
FEATURE_REASONS = {
    "not_a_number": "text that is no number",
    "infinite": "infinite",
    "out_of_range": "outside of the range of the feature, or not whole where it must be",
}

TEMPLATE = """# Tables

Written by `scripts/document_tables.py` from `musicrec/schemas.py` and `musicrec/storage/datasets.py`; do not
edit it. All tables are Parquet. A directory holds one or more files; their names say nothing.

## Published

Under `<root>/published/snapshots/<run_id>/`. `recommendations` is sorted by `track_id, rank`,
`user_recommendations` by `user_id, rank`, `status` by `track_id`.

{published}
### Values of status and reason

{reasons}
## Work

Under `<root>/work/<run_id>/`, in the order in which a run writes them. They stay as long as the snapshot of their
run. Programs should read what is published; these columns may change.

{work}
## Neighbors of any vectors

Under `<output>/neighbors/`, by `musicrec neighbors`; `id` and `neighbor_id` have the type of the input's ids.

{vectors_row}

{vectors}
## current.json

The pointer, `<root>/published/current.json`: it is replaced in one step, last.

{pointer}
## history/*.json

`<root>/published/history/00000042.json` and so on: a file for each version, made once and never changed. Making it
is what publishes; the pointer is a copy of the last that is no backfill.

## manifest.json

In each snapshot. `/` goes a level down, `*` stands for any name, `[]` for each entry of a list. Seconds are
wall-clock time.

{manifest}
## report.json

Beside `neighbors/`, by `musicrec neighbors`.

{report}
## state.json

In `<root>/work/<run_id>/`: what became of the run. One that says `running` and holds no lock was killed.

{state}"""


def main() -> int:
    """Write the document, or say whether it is current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the file is not current")
    check, text = parser.parse_args().check, render()
    if not check:
        TARGET.write_text(text, encoding="utf-8")
    elif not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        print(f"{TARGET.name} is not current: run scripts/document_tables.py", file=sys.stderr)
        return 1
    return 0


def render() -> str:
    """Return the document as Markdown."""
    every = [value for value in vars(datasets).values() if isinstance(value, Dataset)]
    # Directories of the join's output are neither: that table has its own place.
    known = [dataset for dataset in every if dataset.schema_name or dataset.name in FILES]
    any_id = "string or bigint"
    return TEMPLATE.format(
        published="\n".join(_table(dataset) for dataset in known if dataset.is_published),
        reasons=_reasons(),
        work="\n".join(_table(dataset) for dataset in known if not dataset.is_published),
        vectors_row=_row_text("VECTOR_NEIGHBORS"),
        vectors=_columns(
            schemas.VECTOR_NEIGHBORS["string"], table="vectors", types={"id": any_id, "neighbor_id": any_id}
        ),
        pointer=_keys(POINTER),
        manifest=_keys(manifest_keys()),
        report=_keys(REPORT),
        state=_keys(state_keys()),
    )


def reasons() -> dict[str, str]:
    """Return every reason of the quarantine with its meaning."""
    return ROW_REASONS | {
        f"{rule.name}_{suffix}": text for rule in FEATURE_RULES for suffix, text in FEATURE_REASONS.items()
    }


def _table(dataset: Dataset) -> str:
    if not dataset.schema_name:
        return f"### {dataset.name}\n\nNo table: {FILES[dataset.name]}.\n"
    columns = _columns(dataset.schema, table=dataset.name)
    return f"### {dataset.name}\n\n{_row_text(dataset.schema_name)}\n\n{columns}"


def _row_text(name: str) -> str:
    """Return the comment above a schema: what a row is, and what is unique."""
    found = re.search(rf"((?:^# .*\n)+){name} = ", inspect.getsource(schemas), flags=re.M)
    if found is None:
        raise SystemExit(f"schemas.py does not say what a row of {name} is")
    return " ".join(line.removeprefix("# ") for line in found.group(1).splitlines())


def _columns(schema: StructType, *, table: str, types: dict[str, str] | None = None) -> str:
    rules = {rule.name: rule for rule in FEATURE_RULES}
    lines = []
    for field in schema.fields:
        text = COLUMNS.get(f"{table}.{field.name}", COLUMNS.get(field.name))
        if text is None:
            raise SystemExit(f"scripts/document_tables.py does not say what {table}.{field.name} is")
        if field.name in rules:
            text = _range(rules[field.name]) + (f"; {text}" if text else "")
        kind = (types or {}).get(field.name, field.dataType.simpleString())
        lines.append(f"| `{field.name}` | {kind} | {text} |")
    return _lines("| column | type | meaning |", lines)


def _range(rule: FeatureRule) -> str:
    unit = f" {UNITS[rule.name]}" if rule.name in UNITS else ""
    whole = ", whole" if rule.whole else ""
    missing = f"; {rule.missing_at:g} in the input means unknown" if rule.missing_at is not None else ""
    return f"{rule.low:g} to {rule.high:,.10g}{unit}{whole}{missing}"


def _reasons() -> str:
    status = [f"| `{name}` | {text} |" for name, text in STATUS.items()]
    without = [f"| `{name}` | {_listed(name)} | {text} |" for name, text in WITHOUT_LIST.items()]
    refused = {**ROW_REASONS, **{f"<feature>_{name}": text for name, text in FEATURE_REASONS.items()}}
    without += [f"| `{name}` | `quarantined` | {text} |" for name, text in refused.items()]
    names = ", ".join(f"`{rule.name}`" for rule in FEATURE_RULES)
    return (
        f"{_lines('| status | meaning |', status)}\n{_lines('| reason | of | meaning |', without)}\n"
        f"`<feature>` is one of the twelve: {names}.\n"
        'With `input.invalid_values = "missing"` those three do not occur. '
        "Rows without an id stand in `quarantine` only.\n"
    )


def _listed(reason: str) -> str:
    """Return the status of songs with a reason: where it bars all songs from all lists, none has a list."""
    return "`not_recommended`" if reason.startswith("no_other") else "`not_recommended`, `recommended`"


def _keys(keys: Sequence[Key]) -> str:
    whens = [f" ({key.when})" if key.when else "" for key in keys]
    lines = [f"| `{key.path}` | {key.text}{when} |" for key, when in zip(keys, whens, strict=True)]
    return _lines("| key | meaning |", lines)


def _lines(head: str, lines: list[str]) -> str:
    rule = "|" + "---|" * (head.count("|") - 1)
    return "".join(f"{line}\n" for line in (head, rule, *lines))


if __name__ == "__main__":
    sys.exit(main())

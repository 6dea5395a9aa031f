"""What tasks tell each other and the driver, as StructTypes: rows that are in no file.

Arrays cross the JVM's border whole, as blobs: a column of bytes that knows the type of its numbers. `as_row` makes
such a row and `blob_of` reads it again, for all that have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
)

from musicrec.schemas import TRACKS

# Numbers in a blob: keys of songs and other whole numbers, positions of rows, scores, values of features. Vectors
# are of the type that the space of a join says: halves or floats.
KEYS, ROWS, SCORES, VALUES, TEXT, VECTORS = "<i8", "<i4", "<f4", "<f8", "|u1", "by the space"
# Sums of whole numbers that are known to fit.
SUMS = ROWS

_ARROW_TYPES: dict[type[DataType], pa.DataType] = {
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    DoubleType: pa.float64(),
    BooleanType: pa.bool_(),
    BinaryType: pa.binary(),
    StringType: pa.string(),
}


def _schema(**columns: DataType | str) -> StructType:
    """Return a schema; text in place of a type is that of the numbers in a blob."""
    return StructType(
        [
            StructField(name, BinaryType(), metadata={"numbers": kind})
            if isinstance(kind, str)
            else StructField(name, kind)
            for name, kind in columns.items()
        ]
    )


def as_row(schema: StructType, **values: Any) -> pa.RecordBatch:
    """Return a row of numbers and blobs; arrays become the bytes of what the schema says they hold."""
    columns = []
    for field in schema.fields:
        value, kind = values[field.name], field.metadata.get("numbers")
        if kind is not None:
            value = np.ascontiguousarray(value, dtype=None if kind == VECTORS else kind).tobytes()
        columns.append(pa.array([value], type=_ARROW_TYPES[type(field.dataType)]))
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


def blob_of(schema: StructType, name: str, blob: Any, *, vector_type: str = "") -> NDArray[Any]:
    """Return the numbers of a blob (n,), read-only and without a copy.

    Parameters
    ----------
    schema : StructType
    name : str
        Of the column.
    blob : bytes or buffer
    vector_type : str
        Of vectors, as the space of the join says.
    """
    kind = schema[name].metadata["numbers"]
    return np.frombuffer(blob, dtype=vector_type if kind == VECTORS else kind)


def _with_record(**columns: DataType | str) -> StructType:
    return StructType([*_schema(**columns).fields, *RECORDED.fields])


# A piece of rows that a task has written; `piece` is unique.
WRITTEN = _schema(piece=LongType(), n_rows=LongType())

# A file that will be published, as the manifest says it: `storage.rows.FileRecord`.
RECORDED = _schema(
    path=StringType(), rows=LongType(), bytes=LongType(), sha256=StringType(), first_id=StringType(),
    last_id=StringType(),
)  # fmt: skip

# A piece of a range of keys that a task has written, and how many of them another song has, too.
WRITTEN_KEYS = _schema(piece=LongType(), n_rows=LongType(), n_repeated=LongType())

# The same of a range of songs, and the rows that another one of their id came before; its middle recording, or
# work where lists hold each once, and how many songs have it. Blobs of the 12 features: the middle one of the
# known values, how many have it, how many are known.
WRITTEN_TRACKS = _schema(
    piece=LongType(), n_rows=LongType(), n_duplicates=LongType(), recording=LongType(),
    n_of_recording=LongType(), values=VALUES, n_of_value=KEYS, n_known=KEYS,
)  # fmt: skip

# Artists of some songs: how many songs each has, and the sums of their inputs, artist by artist.
ARTIST_BLOCKS = _schema(target=IntegerType(), part=IntegerType(), artists=KEYS, counts=KEYS, sums=SUMS)

# The columns of a piece of a file: `path` is its URI or its number.
SOURCE_KEYS = _schema(path=StringType(), piece=LongType(), names=ArrayType(StringType()))

# A piece of the input: its rows, those that another one of their id came before, its different songs, how many
# rows were refused for what reason, and how many values count as missing for what. `drawn_ids` and `drawn_keys`
# are of some of the songs. `common_key` is the middle one of all rows that are songs, and `n_of_key` how many have
# it; `n_various` songs are by various or unknown artists.
AUDITED = _schema(
    piece=LongType(),
    n_rows=LongType(),
    n_duplicates=LongType(),
    n_songs=LongType(),
    reasons=ArrayType(StringType()),
    n_refused=ArrayType(LongType()),
    missing=ArrayType(StringType()),
    n_missing=ArrayType(LongType()),
    drawn_ids=ArrayType(StringType()),
    drawn_keys=ArrayType(LongType()),
    common_key=LongType(),
    n_of_key=LongType(),
    n_various=LongType(),
)

# Columns of `schemas.TRACKS` that follow from others, when each id is there once.
DERIVED = ("album_key", "flags")

# A song of an input in which its id may stand several times, with the number of its known features, and what
# recordings and works are found by: the title of its work, names in place of `recording_key` and `work_key`, and
# other names of both.
AUDITED_SONGS = StructType(
    [
        *[field for field in TRACKS.fields if field.name not in DERIVED],
        StructField("n_known", IntegerType()),
        StructField("title_key", LongType()),
        StructField("other_names", ArrayType(LongType())),
        StructField("other_works", ArrayType(LongType())),
    ]
)

# A piece of the vectors, NULL where they were not fit to be written, and what is in it. Blobs of its songs that a
# sample has: n int64 keys and n x d float32 vectors.
PIECES = _schema(
    piece=LongType(),
    n_rows=LongType(),
    n_without_key=LongType(),
    n_empty=LongType(),
    min_dim=LongType(),
    max_dim=LongType(),
    n_not_finite=LongType(),
    n_zero=LongType(),
    max_norm=DoubleType(),
    is_half=BooleanType(),
    keys=KEYS,
    vectors=SCORES,
)

# Songs of one part of the cells, in any order. Spark's hash sends `target` to the part's partition. Blobs of n
# songs: int64 keys, n x n_facts int64 facts, and int32 rows; and of the m different rows in which they stand:
# int64 cells, and vectors (little endian halves or floats), row by row.
BLOCKS = _schema(
    target=IntegerType(),
    part=IntegerType(),
    keys=KEYS,
    facts=KEYS,
    rows=ROWS,
    cells=KEYS,
    vectors=VECTORS,
)

# A cell with the number of its items; `cell` is unique. `drawn` are rows of the cell's part that a sample has.
CELLS = _schema(cell=LongType(), n_items=LongType(), drawn=ArrayType(LongType()))

# Some items, blobs in the order in which they were asked for: int64 keys, n x n_facts int64 facts, vectors.
SENT_ITEMS = _schema(keys=KEYS, facts=KEYS, vectors=VECTORS)

# How far the neighbors of some queries are at most: blobs of their rows among all, and of float64 distances.
REACHES = _schema(queries=ROWS, reach=VALUES)

# The nearest neighbors of the sample among a share of the items. Blobs of n_queries x k: int64 keys, groups,
# of each n_groups, and cells, -1 where there is none, and float32 scores, NaN there.
TRUTHS = _schema(keys=KEYS, groups=KEYS, cells=KEYS, scores=SCORES)

# The nearest songs of a few among a share of all. Blobs of n_queries x k: int64 keys, and groups, of each
# n_groups, -1 where there is none, and float32 scores, NaN there.
NEAREST = _schema(keys=KEYS, groups=KEYS, scores=SCORES)

# A unit of queries, `unit` is unique, with the pairs that it compared. Blobs of those of its items that a sample
# has: n int64 keys, and n x width float32 scores, falling, NaN where there are no more; and int64 rows of
# those whose lists are short.
UNITS = _schema(
    unit=LongType(), n_items=LongType(), n_compared=LongType(), asked_keys=KEYS, asked_scores=SCORES,
    short_rows=KEYS,
)  # fmt: skip

# Songs of one range of numbers. Blobs of n songs: their ids, text i at offsets[i] : offsets[i + 1], and int64
# keys and facts, of each n_facts.
SONG_BLOCKS = _schema(target=IntegerType(), part=IntegerType(), offsets=ROWS, text=TEXT, keys=KEYS, facts=KEYS)

# Songs of one range of keys. Blobs of n songs: int64 keys, int32 numbers, n x n_facts int64 facts.
KEY_BLOCKS = _schema(target=IntegerType(), part=IntegerType(), keys=KEYS, numbers=ROWS, facts=KEYS)

# Songs that share an item with others, by range of the number that names the item. Blobs of n songs: the int32
# numbers of the items and of the songs, n x n_facts int64 facts, and the score of each with the others.
MEMBER_BLOCKS = _schema(
    target=IntegerType(), part=IntegerType(), items=ROWS, songs=ROWS, facts=KEYS, scores=SCORES
)

# Lists of songs of one range of numbers. Blobs of n songs, int32 numbers, and of their lists, best first: n x k
# int32 numbers, -1 for an empty place, and float32 scores, NaN there.
LIST_BLOCKS = _schema(target=IntegerType(), part=IntegerType(), songs=ROWS, places=ROWS, scores=SCORES)

# A range of songs, `piece` is unique: how many have a list, and how many one that is full.
WRITTEN_LISTS = _schema(piece=LongType(), n_rows=LongType(), n_full=LongType())

# How many songs of a range have which value of a fact, `column` is its place among these. Blobs of n int64 values
# and counts; not all values where `is_whole` is not true.
TALLIED = _schema(column=IntegerType(), is_whole=BooleanType(), values=KEYS, counts=KEYS)

# In how many lists of a range songs of another stand. Spark's hash sends `target` to the range's partition. Blobs
# of n rows: int64 numbers of songs, int64 numbers of lists.
TALLIES = _schema(target=IntegerType(), part=IntegerType(), songs=KEYS, n_lists=KEYS)

# A range of numbers, `part` is unique. Blobs: int64 numbers of lists, and how many of its songs stand in so many;
# n_barred songs no list may hold.
COUNTED = _schema(part=IntegerType(), n_lists=KEYS, n_songs=KEYS, n_barred=LongType())

# A list that a song, `guest`, which stands in none, may come into, that of `host`; both are numbers of songs, and
# (guest, host) is unique. It costs nothing where the list has room, else the place of `removed`, -1 where it has.
OFFERS = _schema(guest=LongType(), score=FloatType(), host=LongType(), has_room=BooleanType(), removed=LongType())

# A range of numbers, `part` is unique: what its songs got, why how many have no list, which rule leaves how many a
# short one, and what is wrong with how many lists, by an example; and the record of its file.
CHECKED = _with_record(
    part=IntegerType(),
    n_recommended=LongType(),
    n_not_recommended=LongType(),
    n_recommendations=LongType(),
    n_short_lists=LongType(),
    why_none=ArrayType(StringType()),
    n_why_none=ArrayType(LongType()),
    why_short=ArrayType(StringType()),
    n_why_short=ArrayType(LongType()),
    problems=ArrayType(StringType()),
    n_songs=ArrayType(LongType()),
    examples=ArrayType(StringType()),
)

# A range of songs as the report shows it, `part` is unique: how many of a tenth of the popularity scale, -1 for an
# unknown one, stand in so many lists; scores at the first and at the last rank of some songs; keys and genres of
# some; numbers and popularity of the most popular that have title and artist.
SEEN = _schema(
    part=IntegerType(),
    tenth=ArrayType(LongType()),
    n_lists=ArrayType(LongType()),
    n_songs=ArrayType(LongType()),
    first_scores=ArrayType(FloatType()),
    last_scores=ArrayType(FloatType()),
    mapped_keys=ArrayType(LongType()),
    mapped_genres=ArrayType(StringType()),
    popular=ArrayType(LongType()),
    popularity=ArrayType(DoubleType()),
)

# A favorite, and the range of listeners that it belongs to.
FAVORITE_BLOCKS = _schema(
    target=IntegerType(), part=IntegerType(), user_id=StringType(), track_id=StringType(), song=LongType()
)

# A song in a playlist; nothing is unique.
MEMBERSHIPS = _schema(track_key=LongType(), playlist_key=LongType())

# A piece of favorites that a task has written, how many of them are songs of the catalog, and a draw of its
# listeners, with their keys; `piece` is unique.
WRITTEN_FAVORITES = _schema(
    piece=LongType(), n_rows=LongType(), n_known=LongType(), users=ArrayType(StringType()),
    keys=ArrayType(LongType()),
)  # fmt: skip

# The key of a song; nothing is unique.
KEYS_OF = _schema(track_key=LongType())

# A song as playlists or favorites name it; nothing is unique.
NAMED = _schema(track_id=StringType())

# A range of listeners, `part` is unique, what they like, and the record of its file.
LISTENERS = _with_record(
    part=IntegerType(), n_favorites=LongType(), n_unknown=LongType(), n_users=LongType(),
    n_users_with_recommendations=LongType(),
)  # fmt: skip

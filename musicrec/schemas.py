"""Every dataset as a StructType: what a row is, what is unique, units and ranges."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
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

from musicrec.songs import FEATURES


def _schema(**columns: DataType) -> StructType:
    return StructType([StructField(name, kind) for name, kind in columns.items()])


# A song of the catalog. track_id is unique, and so is track_key, its 64-bit hash. A missing feature is
# NULL. recording_key is shared by the releases of one recording, work_key by the recordings of one work, and
# artist_key by the songs of one first artist, NULL where that is not known. album_key is shared
# by an artist's songs of one album and year, NULL without an album; same_key by songs with the same values in the
# columns of lists.same, NULL where none are named. flags are bits: 1 live, 2 karaoke, 4 for the holidays, 8 remix;
# 256 times those that the genre alone tells.
TRACKS = StructType(
    [
        StructField("track_key", LongType()),
        StructField("track_id", StringType()),
        StructField("recording_key", LongType()),
        StructField("work_key", LongType()),
        StructField("artist_key", LongType()),
        StructField("album_key", LongType()),
        StructField("same_key", LongType()),
        StructField("flags", IntegerType()),
        StructField("title", StringType()),
        StructField("artist", StringType()),
        StructField("album", StringType()),
        StructField("release_date", StringType()),
        StructField("release_year", IntegerType()),
        StructField("popularity", DoubleType()),
        StructField("genre", StringType()),
        StructField("explicit", BooleanType()),
        *[StructField(name, DoubleType()) for name in FEATURES],
    ]
)

# An input row that is no song. Nothing is unique. `row` is the row as JSON, cut to a bounded length.
QUARANTINE = _schema(track_id=StringType(), reason=StringType(), source_file=StringType(), row=StringType())

# A song's unit vector; track_key is unique. The values are exact in half precision.
EMBEDDINGS = _schema(
    track_key=LongType(),
    track_id=StringType(),
    recording_key=LongType(),
    work_key=LongType(),
    embedding=ArrayType(FloatType()),
)

# A song that shares its item with others, and its score with them; track_key is unique.
REPEATED = _schema(track_key=LongType(), item_key=LongType(), self_score=FloatType())

# The nearest items of an item among those that it met; item_key is unique. Scores fall, then keys rise.
NEIGHBORS = _schema(
    item_key=LongType(),
    neighbor_keys=ArrayType(LongType()),
    scores=ArrayType(FloatType()),
)

# In how many lists a song stands; `song`, its number, is unique, and so is track_key.
OCCURRENCES = _schema(song=LongType(), track_key=LongType(), n_lists=LongType())

# A place in the list of `host` for `guest`, which no list holds; both, numbers of songs, are unique. `removed`
# makes room, -1 where the list has room.
PLACES = _schema(host=LongType(), removed=LongType(), guest=LongType(), score=FloatType())

# A song of a song's list; (track_id, rank) and (track_id, recommended_track_id) are unique.
RECOMMENDATIONS = _schema(
    track_id=StringType(), rank=IntegerType(), recommended_track_id=StringType(), score=FloatType()
)

# A song of a listener's list; (user_id, rank) and (user_id, track_id) are unique.
USER_RECOMMENDATIONS = _schema(
    user_id=StringType(),
    rank=IntegerType(),
    track_id=StringType(),
    score=FloatType(),
    because_of=StringType(),
)

# A favorite of a listener, and the number of the song, -1 where the catalog does not have it.
FAVORITES = _schema(user_id=StringType(), track_id=StringType(), song=LongType())

# A vector's neighbor, by the type of their ids; (id, rank) and (id, neighbor_id) are unique.
VECTOR_NEIGHBORS = {
    kind.simpleString(): _schema(id=kind, rank=IntegerType(), neighbor_id=kind, score=FloatType())
    for kind in (LongType(), StringType())
}

# An id of the quarantine, the first of its reasons, and the range of numbers where it is; track_id is unique.
REFUSED = _schema(target=IntegerType(), part=IntegerType(), track_id=StringType(), reason=StringType())

# What became of an input song; track_id is unique.
STATUS = _schema(track_id=StringType(), status=StringType(), reason=StringType(), n_recommendations=IntegerType())

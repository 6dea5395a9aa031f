"""Songs with their items: those with equal vectors share one."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from musicrec.schemas import MEMBERS


def as_members(embeddings: DataFrame, *, one_per_recording: bool, repeated: DataFrame | None, k: int) -> DataFrame:
    """Return `schemas.MEMBERS`: each song with its item.

    Of an item's songs a list can hold only the first k + 1 recordings by id, one of which may be the query's own.

    Parameters
    ----------
    embeddings : DataFrame
        `schemas.EMBEDDINGS`.
    one_per_recording : bool
    repeated : DataFrame or None
        `schemas.REPEATED`; None where no two vectors are equal.
    k : int
    """
    recording = "recording_key" if one_per_recording else "track_key"
    songs = embeddings.select("track_key", "track_id", F.col(recording).alias("recording_key"))
    alone = {
        "item_key": F.col("track_key"),
        "n_members": F.lit(1).cast("long"),
        "self_score": F.lit(None).cast("float"),
        "position": F.lit(1),
    }
    if repeated is None:
        return songs.withColumns(alone).select(*MEMBERS.names)
    single = songs.join(repeated, on="track_key", how="left_anti").withColumns(alone)
    several = songs.join(repeated, on="track_key", how="inner").transform(lambda rows: _grouped(rows, k=k))
    return single.select(*MEMBERS.names).unionByName(several.select(*MEMBERS.names))


def _grouped(songs: DataFrame, *, k: int) -> DataFrame:
    item = Window.partitionBy("item_key")
    so_far = item.orderBy("track_id").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    of_recording = Window.partitionBy("item_key", "recording_key").orderBy("track_id")
    grouped = songs.withColumns(
        {"is_first": F.row_number().over(of_recording) == 1, "n_members": F.count("*").over(item)}
    )
    position = F.sum(F.col("is_first").cast("int")).over(so_far)
    listed = F.col("is_first") & (position <= k + 1)
    return grouped.withColumn("position", F.when(listed, position).cast("int"))

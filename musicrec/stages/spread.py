"""Songs that stand in no list get a place in one of those they are near to.

Nearness is not mutual: in many dimensions some songs are among nobody's k nearest, though each has k nearest of
its own (antihubs, Radovanović et al. 2010). Local scaling moves all lists a little to reach them; a place in the
list of a song that they list themselves reaches them for sure, and leaves all other places as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from musicrec.schemas import FORGOTTEN, OFFERS, PLACES

# Songs of its own list that a forgotten song asks for a place.
N_ASKED = 5


@dataclass(frozen=True)
class Occurrence:
    """In how many lists songs stand: those that are in none, 0..1, and the skewness over all songs."""

    forgotten_share: float
    skewness: float


def keep_forgotten(lists: DataFrame, *, counts: DataFrame) -> DataFrame:
    """Return `schemas.FORGOTTEN`: songs with a list that stand in none."""
    return lists.select(_key("track_id")).join(counts, on="key", how="left_anti").select(*FORGOTTEN.names)


def as_offers(lists: DataFrame, *, forgotten: DataFrame, recordings: DataFrame) -> DataFrame:
    """Return `schemas.OFFERS`: whose lists a forgotten song may come into.

    Parameters
    ----------
    lists : DataFrame
        `schemas.LISTS`.
    forgotten : DataFrame
        `schemas.FORGOTTEN`; from a file, so that Spark knows how few they are and sends them to the lists.
    recordings : DataFrame
        `track_id, recording_key` of all songs.
    """
    own = lists.select("track_id", _key("track_id"), F.slice("list", 1, N_ASKED).alias("list"))
    songs = recordings.select(_key("track_id"), "recording_key").join(forgotten, on="key", how="left_semi")
    few = own.join(forgotten, on="key", how="left_semi").join(songs, on="key", how="inner")
    rows = few.select("track_id", "recording_key", F.explode("list").alias("place"))
    offers = rows.select(
        F.col("track_id").alias("guest"),
        "recording_key",
        F.col("place.negative_score").alias("negative_score"),
        F.col("place.track_id").alias("host"),
    )
    return offers.select(*OFFERS.names)


def as_places(lists: DataFrame, *, offers: DataFrame, counts: DataFrame, k: int) -> DataFrame:
    """Return `schemas.PLACES`: where songs that no list holds get a place.

    Parameters
    ----------
    lists : DataFrame
        `schemas.LISTS`, of at most k places.
    offers : DataFrame
        `schemas.OFFERS`; from a file, as for `as_offers`.
    counts : DataFrame
        `count_places` of the lists.
    k : int

    Notes
    -----
    A list takes in at most one song, and a song gets at most one place. What makes room is the other release of
    the guest's recording, else the last place; it never leaves the only list that holds it.
    """
    # A host's list holds another recording than its own, and so does the guest's.
    hosts = lists.select(F.col("track_id").alias("host"), "list")
    asked = hosts.join(offers, on="host", how="inner").withColumn("removed", _removed(k)).drop("list")
    room = asked.withColumn("key", F.xxhash64("removed")).join(counts, on="key", how="left")
    return _agreed(room).select(*PLACES.names)


def as_spread_lists(lists: DataFrame, *, places: DataFrame) -> DataFrame:
    """Return the lists with their guests, best first."""
    taken = places.withColumnRenamed("host", "track_id")
    joined = lists.join(taken, on="track_id", how="left")
    guest = F.struct("negative_score", F.col("guest").alias("track_id"), "recording_key")
    stay = F.filter("list", lambda place: ~place["track_id"].eqNullSafe(F.col("removed")))
    with_guest = F.sort_array(F.concat(stay, F.array(guest)))
    now = F.when(F.col("guest").isNull(), F.col("list")).otherwise(with_guest)
    return joined.select("track_id", now.alias("list"))


def count_places(lists: DataFrame) -> DataFrame:
    """Return `key, n_lists` of the songs that stand in a list, by the hash of their ids."""
    # Whole numbers are counted sooner than texts.
    listed = lists.select(F.explode("list.track_id").alias("track_id"))
    return listed.groupBy(_key("track_id")).agg(F.count("*").alias("n_lists"))


def recount_places(counts: DataFrame, *, places: DataFrame) -> DataFrame:
    """Return `count_places` of the spread lists, from that of the lists: without looking at them again."""
    come = places.select(F.xxhash64("guest").alias("key"), F.lit(1).alias("n_lists"))
    gone = places.where("removed IS NOT NULL").select(
        F.xxhash64("removed").alias("key"), F.lit(-1).alias("n_lists")
    )
    return counts.unionByName(come).unionByName(gone).groupBy("key").agg(F.sum("n_lists").alias("n_lists"))


def measure_occurrence(counts: DataFrame, *, n_songs: int) -> Occurrence:
    """Return how the places are spread over the `n_songs` of the catalog, from `count_places`."""
    n = F.col("n_lists").cast("double")
    sums = counts.agg(
        F.count("*").alias("n"), *[F.sum(n**power).alias(f"s{power}") for power in (1, 2, 3)]
    ).first()
    if sums is None or not sums["n"]:
        return Occurrence(1.0, 0.0)
    # Moments from sums: the songs in no list add nothing to them but their number.
    mean, square, cube = (sums[f"s{power}"] / n_songs for power in (1, 2, 3))
    variance = square - mean**2
    third = cube - 3 * mean * square + 2 * mean**3
    return Occurrence(1 - sums["n"] / n_songs, third / variance**1.5 if variance > 0 else 0.0)


def _key(name: str) -> Column:
    return F.xxhash64(name).alias("key")


def _removed(k: int) -> Column:
    siblings = F.filter("list", lambda place: place["recording_key"] == F.col("recording_key"))
    last = F.when(F.size("list") >= k, F.element_at("list", -1)["track_id"])
    return F.coalesce(F.get(siblings, 0)["track_id"], last)


def _agreed(room: DataFrame) -> DataFrame:
    """Keep for each host its best guest, for each guest its best host, and what a removed song can lose."""
    best_first = ["negative_score", "guest", "host"]
    of_host, of_guest, of_removed = (
        Window.partitionBy(name).orderBy(*best_first) for name in ("host", "guest", "removed")
    )
    # One list more must hold it than it leaves.
    spared = F.col("removed").isNull() | (F.row_number().over(of_removed) < F.col("n_lists"))
    hosted = room.where("removed IS NULL OR n_lists > 1").withColumn("place", F.row_number().over(of_host))
    single = hosted.where("place = 1").withColumn("place", F.row_number().over(of_guest)).where("place = 1")
    return single.withColumn("spared", spared).where("spared")

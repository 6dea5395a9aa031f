"""What the keys of musicrec's JSON files mean: pointer, manifest, report of the join, state of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """A key: its path (`*` is any name, `[]` each entry of a list), its meaning, and when it is there at all."""

    path: str
    text: str
    when: str = ""

    def fits(self, path: str) -> bool:
        """Return whether a key that was found is this one, or stands below it where this one ends with `*`."""
        pattern = re.escape(self.path).replace(r"\*", "[^/]+")
        return re.fullmatch(pattern + ("(/.*)?" if self.path.endswith("*") else ""), path) is not None


HEADER = (
    Key("run_id", "the run: its date and a number"),
    Key("run_date", "the day that the run is for"),
    Key("started_at", "UTC"),
    Key("versions/*", "versions of musicrec, pyspark and torch"),
    Key("config/*", "every key of the configuration with its value; credentials in URIs are masked"),
)

STAGES = (
    Key("stages[]/stage", "name of a stage, in the order in which they ran"),
    Key("stages[]/started_at", "UTC"),
    Key("stages[]/seconds", "what it took"),
    Key("stages[]/n_rows", "of what it worked on; null where that is not known before"),
)

INPUTS = (
    Key("inputs/tracks", "`input.tracks`"),
    Key("inputs/columns/*", "canonical name of a column: its name in the input"),
    Key("inputs/files[]", "files of songs that were read, the first thousand"),
    Key("inputs/playlists", "`input.playlists`", "with playlists"),
    Key("inputs/favorites", "`input.favorites`", "with favorites"),
)

COUNTS = (
    Key("counts/n_rows", "rows of songs that came in: tracks, duplicates and quarantined ones add up to it"),
    Key("counts/n_tracks", "songs of the cleaned catalog"),
    Key("counts/n_duplicates", "rows whose id another row has, too"),
    Key("counts/n_quarantined", "rows that are no usable song"),
    Key("counts/quarantine_reasons/*", "how many of them by reason", "where rows were quarantined"),
    Key("counts/n_sampled_memberships", "pairs of playlist and song in the sample", "with playlists"),
    Key("counts/n_recommended", "songs that have a list"),
    Key("counts/n_not_recommended", "songs of the catalog that have none"),
    Key("counts/n_recommendations", "rows of `recommendations`"),
    Key("counts/n_short_lists", "songs whose list has fewer than `neighbors.k` songs, or that have none"),
    Key("counts/short_list_rules/*", "how many of them by the rule that leaves fewest", "where lists are short"),
    Key("counts/n_barred", "songs that rules of `[lists]` keep out of all lists"),
)

MODEL = (
    Key("model/objective", "what made songs alike: `playlists`, `labels`, `all`, `self_supervised`, or `none`"),
    Key("model/inputs[]", "names of the encoder's inputs, in their order"),
    Key("model/n_sampled", "songs of the sample"),
    Key("model/history[]/epoch", "1-based", "where an encoder was trained"),
    Key("model/history[]/loss", "mean over the batches", "where an encoder was trained"),
    Key("model/history[]/held_out_score", "how well validation songs are found; null without any",
        "where an encoder was trained"),
    Key("model/history[]/best", "the best so far; the weights of the last such epoch are kept",
        "where an encoder was trained"),
    Key("model/training/device", "`cpu` or `cuda`", "where an encoder was trained"),
    Key("model/training/seconds", "of all epochs", "where an encoder was trained"),
    Key("model/training/driver_peak_memory_bytes", "of the driver's Python, from its start until then",
        "where an encoder was trained"),
    Key("model/training/device_peak_memory_bytes", "of the GPU", "on a GPU"),
    Key("model/architecture/*", "the layers of what is shipped, as `encoder.json` has them"),
    Key("model/sha256/*", "digest of each file of the encoder"),
    Key("model/gate/shipped", "the method that is shipped"),
    Key("model/gate/reason", "why nothing could be judged", "where nothing could be judged"),
    Key("model/gate/judged_by", "what makes an answer right: `a playlist` or `the genre`", "where it was judged"),
    Key("model/gate/k", "length of the lists that are judged", "where it was judged"),
    Key("model/gate/n_queries", "gate songs that have a right answer", "where it was judged"),
    Key("model/gate/best_baseline", "the best of the simple methods", "where it was judged"),
    Key("model/gate/ratio/*", "the encoder's precision divided by that one's: `mean` and the 95 % interval",
        "where it was judged"),
    Key("model/gate/is_certain", "whether that interval leaves out 1", "where it was judged"),
    Key("model/gate/precision/*", "precision at `k` of each method: `mean` and the 95 % interval",
        "where it was judged"),
    Key("model/gate/importance/*", "share of the precision that is lost when songs swap this value",
        "where it was judged"),
)  # fmt: skip

JOIN = (
    Key("n_items", "different vectors"),
    Key("hash_family", "what was used: `exact`, `voronoi` or `hyperplane`"),
    Key("n_cells", "cells of the items"),
    Key("n_parts", "files that the cells stand in"),
    Key("copies_per_item", "how often an item is stored"),
    Key("shuffle_bytes", "what the one shuffle of the items sends, before compression"),
    Key(
        "tau[]",
        "how far queries looked, in mean distances to the leaders next to theirs: of ten groups of them, from "
        "those next to their own leader to those far from it, or one of all",
        "voronoi",
    ),
    Key("own_share", "what of the distance to their own leader is added to it", "voronoi"),
    Key("n_near", "leaders next to each that were looked at", "voronoi"),
    Key("n_units", "tasks of the join"),
    Key("pairs_per_item", "items that an item was compared with, mean"),
    Key("max_over_mean_task", "comparisons of the largest task by those of the mean one"),
    Key("intrinsic_dimension", "of the vectors, from the distances of the sample; null where it cannot be told"),
    Key("k", "length of the lists"),
    Key("target_recall", "the recall that was asked for"),
    Key("target_met", "`recall_lower_95` reaches it"),
    Key("n_truth_queries", "items of the sample that recall is measured on"),
    Key("recall_at_k", "share of the true nearest that their lists hold, mean"),
    Key("recall_lower_95", "its lower bound at 95 %"),
    Key("recall_by_density[]", "recall of ten groups of them, from the densest surroundings to the sparsest"),
)

OCCURRENCE = (
    Key("occurrence/before/forgotten_share", "share of the songs that no list held, before spreading"),
    Key("occurrence/before/skewness", "of the number of lists that songs stand in: 0 is even, hubs make it large"),
    Key("occurrence/after/*", "the same after spreading", "with `lists.spread`"),
)

FAVORITES = (
    Key("favorites/n_favorites", "different pairs of listener and song", "with favorites"),
    Key("favorites/n_unknown", "those whose song the catalog lacks", "with favorites"),
    Key("favorites/n_users", "listeners", "with favorites"),
    Key("favorites/n_users_with_recommendations", "listeners that have a list", "with favorites"),
)

_FEATURES = "of `max_one_value` and `max_missing`"
GATES = (
    Key("gates/accepted", "why it is published whatever the gates say, as `--accept` did; null without one"),
    Key("gates/*/value", "what a gate of `[gates]` judged, of several numbers the largest; of `max_one_...` at "
        "least so much, and exactly so where it is more than half"),
    Key("gates/*/of", "the feature that it is of", _FEATURES),
    Key("gates/*/n", "how many songs or rows it was measured on"),
    Key("gates/*/limit", "what `[gates]` allows"),
    Key("gates/*/judged", "it was measured on at least `gates.min_songs`"),
    Key("gates/*/over", "it is judged, and over its limit"),
    Key("gates/*/overruled", "it is over its limit, and accepted"),
)  # fmt: skip

FILES = (
    Key("finished_at", "UTC"),
    Key("files[]/path", "a file of the snapshot, under its directory"),
    Key("files[]/bytes", "its size"),
    Key("files[]/rows", "its rows", "Parquet"),
    Key("files[]/sha256", "its digest"),
    Key("files[]/first_id", "the id of its first row: rows are in the order of ids", "Parquet"),
    Key("files[]/last_id", "that of its last", "Parquet"),
)

POINTER = (
    Key("run_id", "the run that is current"),
    Key("snapshot", "its place, under `published/`"),
    Key("published_at", "when the snapshot was published first, UTC"),
    Key("schema_version", "of what the snapshot holds; a later version still has `run_id` and `snapshot`"),
    Key("manifest_sha256", "digest of its manifest.json, which holds those of all other files"),
    Key("files/*", "the files of each table, under `published/`: whoever reads them needs no listing"),
    Key("version", "counts what was ever published; the file of this number in `history/`"),
    Key("action", "`publish`, `rollback`, or `backfill`: what stands beside and is not current"),
    Key("at", "when that was done, UTC"),
    Key("by", "user and machine"),
    Key("previous", "the version that was current before, null for the first"),
    Key("pinned", "the run that the last rollback named, which is not deleted; null without one"),
)

REPORT = (
    Key("vectors", "what was read; credentials are masked"),
    Key("metric", "`cosine`, `dot` or `euclidean`"),
    Key("n_vectors", "vectors that were read"),
    Key("dim", "numbers of a vector"),
    Key("half_precision", "all of their values are exact in half precision, and are kept so"),
    *JOIN,
    Key("seconds", "from Parquet to Parquet, without the start of Python workers"),
    *STAGES,
    Key("config/*", "the section `[neighbors]` with its values"),
    Key("files[]", "the files of the neighbors, beside the report"),
)


def manifest_keys() -> tuple[Key, ...]:
    """Return the keys of a manifest, in its order."""
    neighbors = tuple(Key(f"neighbors/{key.path}", key.text, key.when) for key in JOIN)
    return (*HEADER, *INPUTS, *COUNTS, *MODEL, *neighbors, *OCCURRENCE, *GATES, *FAVORITES, *STAGES, *FILES)


def state_keys() -> tuple[Key, ...]:
    """Return the keys of what says what became of a run."""
    fails, vectors = "where it failed or was refused", "by `musicrec neighbors`, which has no other of the header"
    return (
        Key("state", "`running`, `failed`, `refused` (by what its data are), or `published`"),
        Key("noted_at", "when this was written, UTC"),
        Key("stage", "the one that has begun last", "while it runs"),
        *HEADER,
        Key("vectors", "what was read", vectors),
        *(Key(key.path, key.text, "where gates judged before it failed") for key in GATES),
        *(Key(key.path, key.text, fails) for key in STAGES),
        Key("stages[]/failed", "true of the stage that failed", "the last one, where a stage failed"),
        Key("code", "the exit code, null where the error was none of ours", fails),
        Key("kind", "the kind of the error", fails),
        Key("message", "what happened", fails),
        Key("where", "file, column or place", fails),
        Key("todo", "what to do next", fails),
    )


def paths_of(value: Any, path: str = "") -> Iterator[str]:
    """Return the path of each value of a JSON document; empty lists and objects have none."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from paths_of(inner, f"{path}/{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from paths_of(inner, f"{path}[]")
    elif not isinstance(value, dict):
        yield path


def undescribed(document: Any, keys: Sequence[Key]) -> list[str]:
    """Return the paths of a document that none of the keys describes."""
    return sorted({path for path in paths_of(document) if not any(key.fits(path) for key in keys)})


def unfound(document: Any, keys: Sequence[Key]) -> list[str]:
    """Return the keys that should be in a document and are not."""
    paths = set(paths_of(document))
    return [key.path for key in keys if not key.when and not any(map(key.fits, paths))]

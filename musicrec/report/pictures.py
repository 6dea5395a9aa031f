"""What the report shows, collected in small samples: lists with titles, a map, scores."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import StructType

from musicrec.arrays import NO_SONG, Doubles, Floats, Ints, is_drawn
from musicrec.catalog.clean import Catalog
from musicrec.catalog.numbered import Numbered, each_part
from musicrec.context import Context
from musicrec.encoder.gate import Shipped
from musicrec.encoder.learning.training import Epoch
from musicrec.lists.list_files import ListFiles
from musicrec.lists.spread import Spread
from musicrec.neighbors.pack import PackedSongs
from musicrec.neighbors.search.rules import make_rules
from musicrec.report import range_tasks
from musicrec.report import rival as stage
from musicrec.report.page import Example, Occurrences, Pictures
from musicrec.report.popularity import add_occurrences
from musicrec.report.range_tasks import SeenSettings
from musicrec.report.rival import Rival
from musicrec.schemas import TRACKS
from musicrec.songs import FEATURES
from musicrec.spark.arrow import numbers
from musicrec.spark.tasks import take_rows
from musicrec.storage import datasets

# Songs on the map and in the list of examples, scores at all ranks, and genres with a name.
N_MAPPED, N_SCORED, N_EXAMPLES, N_LABELS = 5000, 200_000, 10, 8


def collect_pictures(
    context: Context,
    catalog: Catalog,
    *,
    raw_sample: Doubles,
    history: list[Epoch],
    shipped: Shipped,
    packed: PackedSongs,
    spread: Spread,
) -> Pictures:
    """Return what `render_report` draws, from samples of bounded size.

    Parameters
    ----------
    context : Context
    catalog : Catalog
    raw_sample : float64 array, shape (n, n_raw)
        `songs.RAW_INPUTS` of the sample.
    history : list of Epoch
    shipped : Shipped
    packed : PackedSongs
        The songs' vectors.
    spread : Spread
    """
    seen, mapped_share = _see_ranges(context, catalog, spread)
    points, labels = _map(packed, seen, share=mapped_share, seed=context.config.model.seed)
    return Pictures(
        raw_features=raw_sample[:, : len(FEATURES)],
        history=[(epoch.number, epoch.loss, epoch.held_out_score) for epoch in history],
        points=points,
        labels=labels,
        scores=_scores(seen, k=context.config.neighbors.k),
        examples=_examples(context, spread.lists, _popular(seen), shipped),
        occurrences=_occurrences(seen),
    )


def _see_ranges(context: Context, catalog: Catalog, spread: Spread) -> tuple[pa.Table, float]:
    """Return `messages.SEEN` by range, and the share of the songs that was drawn for the map."""
    n = catalog.n_tracks
    settings = SeenSettings(
        tracks=context.files(datasets.TRACKS),
        lists=spread.lists,
        occurrences=spread.occurrences,
        scored_share=min(1.0, N_SCORED / context.config.neighbors.k / n),
        mapped_share=min(1.0, N_MAPPED / n),
        map_seed=context.config.model.seed,
        n_popular=N_EXAMPLES,
    )
    ranges = context.numbers(spread.lists.numbered.n_ranges)
    return range_tasks.as_seen(ranges, settings=settings).toArrow().sort_by("part"), settings.mapped_share


def _occurrences(seen: pa.Table) -> Occurrences:
    return Occurrences(*add_occurrences(*(_joined(seen, name) for name in ("tenth", "n_lists", "n_songs"))))


def _joined(seen: pa.Table, name: str) -> NDArray[Any]:
    return numbers(seen[name].combine_chunks().flatten())


def _scores(seen: pa.Table, *, k: int) -> dict[int, NDArray[Any]]:
    """Return the scores at the first and at the last rank of a sample of songs."""
    first, last = (_joined(seen, name) for name in ("first_scores", "last_scores"))
    return {1: first, k: last} if k > 1 and len(last) else {1: first}


def _popular(seen: pa.Table) -> Ints:
    """Return the numbers of the most popular songs: those a reader knows."""
    songs, popularity = _joined(seen, "popular"), _joined(seen, "popularity")
    # Of equal ones, any: each range has drawn its own.
    return songs[np.argsort(-popularity, kind="stable")[:N_EXAMPLES]]


def _map(packed: PackedSongs, seen: pa.Table, *, share: float, seed: int) -> tuple[Floats, list[str]]:
    # Of the songs that leaders come from, drawn in the same way, and of which there are more.
    drawn = np.flatnonzero(is_drawn(packed.sample_keys, share=share, seed=seed))
    genres = seen["mapped_genres"].combine_chunks().flatten().to_pylist()
    by_key = dict(zip(_joined(seen, "mapped_keys").tolist(), genres, strict=True))
    labels = _common_labels([by_key[key] for key in packed.sample_keys[drawn].tolist()])
    return _principal_plane(packed.sample[drawn]), labels


def _principal_plane(vectors: Floats) -> Floats:
    """Return the first two principal components (n, 2); 0 where there are fewer."""
    centered = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centered, full_matrices=False)
    plane = np.zeros((len(vectors), 2), dtype=np.float32)
    plane[:, : len(axes[:2])] = centered @ axes[:2].T
    return plane


def _common_labels(genres: list[str | None]) -> list[str]:
    common = {name for name, _ in Counter(g for g in genres if g).most_common(N_LABELS)}
    return ["" if not common else genre if genre in common else "other" for genre in genres]


def _examples(context: Context, lists: ListFiles, songs: Ints, shipped: Shipped) -> list[Example]:
    if not len(songs):
        return []
    numbered, found = lists.numbered, lists.of(songs)
    keys = numbered.keys(songs)
    others = _rival_lists(context, numbered, songs, shipped)
    of_rival = {
        key: numbered.of_keys(np.array([k for k, _ in places]))[0] for key, places in others.items() if places
    }
    named = np.unique(np.concatenate([songs, found.places[found.places != NO_SONG], *of_rival.values()]))
    names = _names(context, numbered, named)
    examples = []
    for i, (song, key) in enumerate(zip(songs.tolist(), keys.tolist(), strict=True)):
        places = [
            (names[other], float(score))
            for other, score in zip(found.places[i].tolist(), found.scores[i], strict=True)
            if other != NO_SONG
        ]
        rivals = zip(of_rival.get(key, np.empty(0, np.int64)).tolist(), others.get(key, []), strict=True)
        if places:
            examples.append(Example(names[song], places, [(names[other], score) for other, (_, score) in rivals]))
    return examples


def _rival_lists(
    context: Context, numbered: Numbered, asked: Ints, shipped: Shipped
) -> dict[int, list[tuple[int, float]]]:
    """Return the nearest songs of each asked one, (key, score) by rank, by what the encoder was compared with."""
    if shipped.rival is None:
        return {}
    settings, tracks = context.config.neighbors, context.files(datasets.TRACKS)
    rules, k = make_rules(context.config.lists), settings.k
    rival = Rival(*shipped.rival, shipped.artists)
    embedder = rival.ready()
    asked = np.sort(asked)
    queries = embedder.items(_songs_of(context, numbered, asked, columns=embedder.columns), numbered.facts(asked))
    pieces = tracks.pieces()

    def read(number: int) -> tuple[pa.Table, Ints]:
        part = pieces[number]
        return tracks.read_piece(part, columns=embedder.columns), numbered.songs.read(part, "facts")[0]

    found = stage.merge(
        stage.as_nearest(
            context.numbers(len(pieces)),
            read=read,
            queries=queries,
            rival=rival,
            k=k,
            rules=rules,
        ).toArrow(),
        queries,
        k=k,
        rules=rules,
    )
    return {
        # A key is a hash, so it may be negative; NaN is no neighbor.
        int(query): [
            (int(key), float(score)) for key, score in zip(keys, scores, strict=True) if not np.isnan(score)
        ]
        for query, keys, scores in zip(queries.keys, found.keys, found.scores, strict=True)
    }


def _names(context: Context, numbered: Numbered, songs: Ints) -> dict[int, str]:
    """Return the names of songs, a few hundred, by their numbers, which rise."""
    found = _songs_of(context, numbered, songs, columns=["track_id", "title", "artist"]).to_pylist()
    return dict(zip(songs.tolist(), map(_name, found), strict=True))


def _songs_of(context: Context, numbered: Numbered, songs: Ints, *, columns: list[str]) -> pa.Table:
    """Return columns of a few songs, by their numbers, which rise."""
    tracks, schema = context.files(datasets.TRACKS), StructType([TRACKS[name] for name in columns])
    # Pieces of tracks are ranges of songs, and tasks read them: a few songs may stand in as many.
    wanted = [(part, songs[some] - numbered.firsts[part]) for part, some in each_part(numbered.range_of(songs))]
    read = partial(tracks.read_piece, columns=columns)
    return take_rows(context.numbers(len(wanted)), wanted, read=read, schema=schema).toArrow()


def _name(row: dict[str, Any]) -> str:
    known = [str(part) for part in (row["title"], row["artist"]) if part]
    return " – ".join(known) or str(row["track_id"])

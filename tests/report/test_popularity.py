"""What the report is drawn from, against plain loops."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from musicrec.catalog.texts import no_texts
from musicrec.encoder.features import raw_inputs
from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.inputs import encode, fit_encodings
from musicrec.encoder.learning.model import as_files, embed, from_files, make_linear
from musicrec.encoder.learning.song_inputs import SongEncodings
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.rules import ListRules
from musicrec.report import rival
from musicrec.report.popularity import add_occurrences, count_occurrences
from musicrec.report.range_tasks import most_popular
from musicrec.songs import FEATURES
from tests.oracles import lists_by_hand, scores_by_hand

N, K = 500, 4


def test_the_rivals_lists_are_its_nearest_other_recordings(spark) -> None:
    rng = np.random.default_rng(2)
    table = pa.table({name: rng.random(N) for name in (*FEATURES, "popularity")})
    table = table.append_column("release_date", no_texts(N)).append_column("genre", no_texts(N))
    raw = raw_inputs(table)
    encodings = fit_encodings(raw, optional=[])
    inputs = encode(raw, encodings=encodings)
    width = inputs.shape[1]
    # Keys are hashes, of either sign; every recording has two releases.
    keys, recordings = rng.permutation(np.arange(-N, N, 2)), np.repeat(np.arange(-N // 4, N // 4), 2)
    weights, description = as_files(
        make_linear(Affine(np.zeros(width), rng.standard_normal((width, 3)))), encodings=SongEncodings(encodings)
    )
    vectors = embed(from_files(weights, description)[0], inputs)
    rows = np.arange(0, N, 50)
    table, facts = table.append_column("track_key", pa.array(keys)), recordings[:, None]
    table = table.append_column("artist_key", pa.nulls(N, pa.int64()))
    cuts = [slice(part * N // 3, (part + 1) * N // 3) for part in range(3)]
    queries = Items(keys[rows], facts[rows], vectors[rows])
    found = rival.merge(
        rival.as_nearest(
            spark.range(0, 3, 1, 3),
            read=lambda part: (table.take(pa.array(np.arange(N)[cuts[part]])), facts[cuts[part]]),
            queries=queries,
            rival=rival.Rival(weights, description, None),
            k=K,
            rules=ListRules(),
        ).toArrow(),
        queries,
        k=K,
        rules=ListRules(),
    )
    cosines = scores_by_hand(vectors[rows], "cosine", among=vectors)
    expected = lists_by_hand(cosines, keys.tolist(), recordings.tolist(), own=recordings[rows].tolist(), k=K)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(found.scores[i], [score for _, score in expected[i]], atol=2e-3)
        assert set(found.keys[i]) <= set(keys)
        assert len(set(found.groups[i, :, 0]) - {recordings[row]}) == K


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 100)), st.integers(0, 3)), max_size=40),
    st.integers(0, 40),
)
def test_occurrences_are_counted_by_popularity(songs: list[tuple[float | None, int]], cut: int) -> None:
    counts = Counter((-1 if p is None else min(9, int(p // 10)), n) for p, n in songs)
    popularity = np.array([np.nan if p is None else p for p, _ in songs])
    n_lists = np.array([n for _, n in songs], dtype=np.int64)
    parts = [count_occurrences(popularity[some], n_lists[some]) for some in (slice(0, cut), slice(cut, None))]
    tenth, of_tenth, n_songs = add_occurrences(*map(np.concatenate, zip(*parts, strict=True)))
    assert dict(zip(zip(tenth.tolist(), of_tenth.tolist(), strict=True), n_songs.tolist(), strict=True)) == counts


def test_the_most_popular_come_first_and_unknown_ones_last() -> None:
    popularity = np.array([5.0, np.nan, 90.0, 7.0, 99.0, 7.0])
    rows = np.array([0, 1, 2, 3, 5])
    keys = np.arange(6)
    assert most_popular(popularity, keys, rows, n=2).tolist()[0] == 2
    assert most_popular(popularity, keys, rows, n=9).tolist()[-2:] == [0, 1]
    assert set(most_popular(popularity, keys, rows, n=3).tolist()) == {2, 3, 5}

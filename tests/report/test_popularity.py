"""What the report is drawn from, against plain loops."""

import numpy as np
import pandas as pd
import pyarrow as pa

from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.inputs import Encodings
from musicrec.encoder.learning.model import as_files, embed, from_files, make_linear
from musicrec.neighbors.search.items import Items
from musicrec.report import rival
from musicrec.report.popularity import count_occurrences
from musicrec.spark.arrow import matrix_column
from tests.oracles import lists_by_hand, scores_by_hand

N, DIM, K = 500, 5, 4
ENCODINGS = Encodings((), (), (), 0.0)


def test_the_rivals_lists_are_its_nearest_other_recordings(spark) -> None:
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((N, DIM)).astype(np.float32)
    # Keys are hashes, of either sign; every recording has two releases.
    keys, recordings = rng.permutation(np.arange(-N, N, 2)), np.repeat(np.arange(-N // 4, N // 4), 2)
    weights, description = as_files(
        make_linear(Affine(np.zeros(DIM), rng.standard_normal((DIM, 3)))), encodings=ENCODINGS
    )
    vectors = embed(from_files(weights, description)[0], inputs)
    rows = np.arange(0, N, 50)
    table = pa.table({"track_key": keys, "recording_key": recordings, "features": matrix_column(inputs)})
    features = spark.createDataFrame(table).repartition(3)
    found = rival.merge(
        rival.as_nearest(
            features,
            queries=Items(keys[rows], recordings[rows], vectors[rows]),
            weights=weights,
            description=description,
            k=K,
            recording="recording_key",
        ).toArrow(),
        n_queries=len(rows),
        k=K,
    )
    cosines = scores_by_hand(vectors[rows], "cosine", among=vectors)
    expected = lists_by_hand(cosines, keys.tolist(), recordings.tolist(), own=recordings[rows].tolist(), k=K)
    for i, row in enumerate(rows):
        np.testing.assert_allclose(found.scores[i], [score for _, score in expected[i]], atol=2e-3)
        assert set(found.keys[i]) <= set(keys)
        assert len(set(found.recordings[i]) - {recordings[row]}) == K


def test_occurrences_are_counted_by_popularity(spark) -> None:
    rng = np.random.default_rng(5)
    tracks = [*zip("abcdefgh", [0.0, 5.0, 9.99, 10.0, 99.0, 100.0, None, 55.0], strict=True)]
    counts = pd.Series(rng.choice(list("abcdefg"), 40)).value_counts()
    occurrences = pd.DataFrame({"track_id": counts.index, "n_lists": counts.to_numpy()})
    found = count_occurrences(
        spark.createDataFrame(occurrences).selectExpr("xxhash64(track_id) AS track_key", "n_lists"),
        tracks=spark.createDataFrame(tracks, "track_id string, popularity double").selectExpr(
            "xxhash64(track_id) AS track_key", "popularity"
        ),
    )
    expected: dict[tuple[int | None, int], int] = {}
    for track_id, tenth in zip("abcdefgh", [0, 0, 0, 1, 9, 9, None, 5], strict=True):
        key = (tenth, int(counts.get(track_id, 0)))
        expected[key] = expected.get(key, 0) + 1
    assert {(row["tenth"], row["n_lists"]): row["n_songs"] for row in found.collect()} == expected

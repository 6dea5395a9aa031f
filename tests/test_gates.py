"""Nights that must not be published: each planted one is stopped, and ordinary catalogs pass. Without Spark."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicrec.catalog.columns import MALFORMED, SOURCE_FILE
from musicrec.catalog.commonest import count_commonest, measure_catalog, middle, survey_songs
from musicrec.catalog.derived import as_tracks_table
from musicrec.catalog.twins import keep_winners
from musicrec.config import GatesConfig
from musicrec.errors import QualityError
from musicrec.gates import Measured, as_record, check_verdicts, judge
from musicrec.measures.collapse import SAME_DIRECTION, same_direction_share
from musicrec.messages import AUDITED, WRITTEN_TRACKS, as_row
from musicrec.songs import FEATURES
from musicrec.spark.arrow import numbers
from tests.catalog.test_audit import rules_of
from tests.conftest import SONG, TIDYTUESDAY, make_songs

LIMITS = GatesConfig()
N_RANGES = 3


def measure(rows: pa.Table, *, published: Mapping[str, Any] | None = None) -> list[Measured]:
    """Return the numbers of a source's rows, cleaned in pieces and ranges as by a run, but in this process."""
    rules = rules_of(rows.column_names)
    none = pa.nulls(len(rows), pa.string())
    source = rows.append_column(MALFORMED, none).append_column(SOURCE_FILE, none)
    size = -(-len(rows) // N_RANGES)
    audited, songs = [], []
    for first in range(0, len(rows), size):
        piece = source.slice(first, size)
        found = rules.audited(piece, piece.column_names)
        key, n_of_key = middle(numbers(found.songs["track_key"]))
        audited.append({"n_rows": len(piece), "common_key": int(key), "n_of_key": n_of_key})
        songs.append(found.songs)
    winners = as_tracks_table(keep_winners(pa.concat_tables(songs)))
    cuts = np.linspace(0, len(winners), N_RANGES + 1).astype(int)
    ranges = [winners.slice(a, b - a) for a, b in pairwise(cuts)]
    written = [
        as_row(
            WRITTEN_TRACKS, piece=i, n_rows=len(some), n_duplicates=0, **survey_songs(some, listed_once="work_key")
        )
        for i, some in enumerate(ranges)
    ]
    assert set(audited[0]) < set(AUDITED.names)
    return measure_catalog(
        pa.Table.from_pylist(audited),
        pa.Table.from_batches(written),
        columns=rules.columns,
        published=published or {},
        listed_once="work_key",
    )


def stopping(found: list[Measured]) -> set[str]:
    """Return the gates that stop a night."""
    return {verdict.measured.gate for verdict in judge(found, limits=LIMITS) if verdict.is_over}


def text_of(songs: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(songs.astype(object).where(songs.notna()).astype("string"), preserve_index=False)


N = 600
NIGHTS: dict[str, tuple[Callable[[], pd.DataFrame], set[str]]] = {
    "all features constant": (lambda: make_songs(N, **SONG), {"max_one_value"}),
    "one feature constant": (lambda: make_songs(N, valence=0.5), {"max_one_value"}),
    "one feature constant but for one song in 300": (
        lambda: make_songs(N, valence=[0.25 if i % 300 == 0 else 0.5 for i in range(N)]),
        {"max_one_value"},
    ),
    "a feature is there and all missing": (lambda: make_songs(N, tempo=[None] * N), {"max_missing"}),
    "a feature is always what stands for unknown": (lambda: make_songs(N, key=-1), {"max_missing"}),
    "never analyzed": (
        lambda: make_songs(N, danceability=0, valence=0, speechiness=0, tempo=0),
        {"max_missing"},
    ),
    "one id": (lambda: make_songs(N, track_id="x"), {"max_one_id"}),
    "two thirds are one id": (
        lambda: make_songs(N, track_id=[f"s{i}" if i % 3 == 0 else "x" for i in range(N)]),
        {"max_one_id"},
    ),
    "title and artist constant": (lambda: make_songs(N, title="Song", artist="Singer"), {"max_one_recording"}),
}


@pytest.mark.parametrize("night", NIGHTS)
def test_a_night_that_is_no_catalog_is_stopped(night: str) -> None:
    make, gates = NIGHTS[night]
    assert stopping(measure(text_of(make()))) == gates


def test_a_night_that_lost_its_songs_is_stopped() -> None:
    songs = text_of(make_songs(300))
    assert stopping(measure(songs, published={"n_tracks": 30_000})) == {"max_lost"}
    # Few as they are, it is what was published that says how many there should be.
    assert stopping(measure(songs.slice(0, 5), published={"n_tracks": 500})) == {"max_lost"}
    for before in ({"n_tracks": 600}, {"n_tracks": 10}, {"n_tracks": None}, {}):
        assert stopping(measure(songs, published=before)) == set()


@pytest.mark.parametrize("n", [1, 5, 12, 18, 60])
def test_of_a_few_songs_nothing_is_judged(n: int) -> None:
    assert stopping(measure(text_of(make_songs(n, title="Song", artist="Singer", **SONG)))) == set()


def test_a_column_that_is_not_there_is_not_missing() -> None:
    assert stopping(measure(text_of(make_songs(N).drop(columns=["tempo", "key"])))) == set()


@pytest.mark.parametrize("seed", range(20))
def test_ordinary_catalogs_pass(generator: ModuleType, seed: int) -> None:
    n = [120, 300, 1000, 2500][seed % 4]
    rng = np.random.default_rng([seed, 1])
    rows, _ = generator.plant(rng, generator.make_songs(generator.make_world(n, seed), rng, n))
    found = measure(rows, published={"n_tracks": n})
    assert stopping(found) == set()
    assert {each.gate for each in found} == {
        "max_one_id", "max_one_recording", "max_one_value", "max_missing", "max_lost",
    }  # fmt: skip


@pytest.mark.realdata
def test_the_real_songs_pass() -> None:
    rows = pd.read_csv(TIDYTUESDAY, dtype=str)
    found = measure(pa.Table.from_pandas(rows, preserve_index=False))
    assert stopping(found) == set()
    # What more than half share is no bound, but the share itself: here by pandas.
    songs = rows.drop_duplicates("track_id")
    share = songs["mode"].value_counts(normalize=True).iloc[0]
    modes = [each.value for each in found if each.of == "mode" and each.gate == "max_one_value"]
    assert modes == [pytest.approx(share, abs=1e-3)]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 4))
@settings(deadline=None)
def test_what_more_than_half_share_is_found(values: list[int], n_ranges: int) -> None:
    ranges = np.array_split(np.array(values), n_ranges)
    found, n = count_commonest(*(np.array(column) for column in zip(*map(middle, ranges), strict=True)))
    common = max(set(values), key=values.count)
    assert n <= values.count(found)
    if n_ranges == 1 and 2 * values.count(common) > len(values):
        assert (found, n) == (common, values.count(common))
    # In ranges, too, where each of them has the share.
    if all(2 * np.sum(some == common) > len(some) for some in ranges if len(some)):
        assert (found, n) == (common, values.count(common))


def test_of_no_values_none_is_common() -> None:
    assert middle(np.empty(0)) == (0, 0)
    assert count_commonest(np.empty(0), np.empty(0)) == (0, 0)


def make_numbers(value: float, *, n: int = 1000) -> list[Measured]:
    return [Measured("max_unlisted", value, n, f"{value:.1%} of {n} songs have no list")]


def test_a_refusal_says_number_limit_and_what_to_do() -> None:
    with pytest.raises(QualityError) as error:
        check_verdicts(judge(make_numbers(0.34), limits=LIMITS), accepted="")
    message = str(error.value)
    assert error.value.exit_code == 4
    assert len(message.splitlines()) == 3
    assert "34.0% of 1000 songs have no list" in message
    assert "gates.max_unlisted = 0.1" in message
    assert "--accept" in message


@given(st.floats(0, 1), st.integers(1, 300), st.booleans())
@settings(deadline=None)
def test_a_night_is_stopped_where_a_number_is_over_its_limit(value: float, n: int, accepted: bool) -> None:
    verdicts, reason = judge(make_numbers(value, n=n), limits=LIMITS), "why" if accepted else ""
    is_over = value > LIMITS.max_unlisted and n >= LIMITS.min_songs
    record = as_record(verdicts, accepted=reason)["max_unlisted"]
    assert (record["over"], record["overruled"]) == (is_over, is_over and accepted)
    assert (record["limit"], record["n"], record["judged"]) == (0.1, n, n >= 100)
    if is_over and not accepted:
        with pytest.raises(QualityError):
            check_verdicts(verdicts, accepted=reason)
    else:
        check_verdicts(verdicts, accepted=reason)


@pytest.mark.parametrize(("lower", "n", "is_over"), [(0.99, 500, True), (1.0, 500, False), (0.5, 50, False)])
def test_a_night_is_stopped_where_the_encoder_is_not_surely_better(lower: float, n: int, is_over: bool) -> None:
    limits = GatesConfig(min_encoder_ratio=1.0)
    verdicts = judge([Measured("min_encoder_ratio", lower, n, "the encoder is no better")], limits=limits)
    assert as_record(verdicts, accepted="")["min_encoder_ratio"]["over"] == is_over
    if is_over:
        with pytest.raises(QualityError, match=r"lower gates.min_encoder_ratio"):
            check_verdicts(verdicts, accepted="")
    check_verdicts(judge([Measured("min_encoder_ratio", lower, n, "")], limits=LIMITS), accepted="")


def test_of_several_numbers_of_a_gate_the_largest_is_kept() -> None:
    found = [
        Measured("max_missing", v, 200, "", of=name) for v, name in ((0.2, "key"), (0.9, "mode"), (0.1, "tempo"))
    ]
    assert as_record(judge(found, limits=LIMITS), accepted="")["max_missing"]["of"] == "mode"


def planted_vectors(share: float, *, n: int, seed: int) -> np.ndarray:
    """Vectors of any direction, of which a share are nearly one."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 16)).astype(np.float32)
    same = rng.random(n) < share
    vectors[same] = vectors[0] + 1e-4 * vectors[same]
    return vectors


@pytest.mark.parametrize(("share", "is_over"), [(0.0, False), (0.5, False), (0.8, True), (1.0, True)])
def test_collapsed_vectors_are_seen(share: float, is_over: bool) -> None:
    found = same_direction_share(planted_vectors(share, n=5000, seed=2))
    assert found == pytest.approx(share**2, abs=0.06)
    assert (found > LIMITS.max_collapsed) == is_over


@given(st.integers(0, 40), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_the_share_of_equal_pairs_is_what_it_is_by_hand(n: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).integers(-1, 2, (n, 2)).astype(np.float32)
    n_same = 0
    for i in range(n):
        for j in range(n):
            lengths = math.hypot(*vectors[i]) * math.hypot(*vectors[j])
            n_same += i != j and lengths > 0 and float(vectors[i] @ vectors[j]) / lengths >= SAME_DIRECTION
    expected = n_same / (n * (n - 1)) if n > 1 else 0.0
    assert same_direction_share(vectors) == pytest.approx(expected)


def test_made_songs_are_ordinary() -> None:
    """Other tests make their songs by `make_songs`: a gate that stopped them would hide what these claim."""
    songs = make_songs(200)
    assert min(songs[name].nunique() for name in FEATURES if name not in ("key", "mode")) > 100
    assert make_songs(50).equals(songs.head(50))

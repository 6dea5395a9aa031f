import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.encoder.learning.inputs import (  # fmt: skip
    Encodings,
    encode,
    fifths_angle,
    fit_encodings,
    octave_angle,
)
from musicrec.songs import FEATURE_RULES, FEATURES, OPTIONAL_INPUTS, RAW_INPUTS


def random_songs(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = []
    for rule in FEATURE_RULES:
        high = {"tempo": 220.0, "duration_ms": 400_000.0, "loudness": 0.0}.get(rule.name, rule.high)
        low = {"tempo": 50.0, "duration_ms": 60_000.0, "loudness": -30.0}.get(rule.name, rule.low)
        values = rng.uniform(low, high, n)
        columns.append(np.floor(values + 0.5) if rule.whole else values)
    columns += [rng.uniform(1960, 2020, n), rng.integers(0, 101, n).astype(float)]
    columns.append(rng.choice([11.0, 22.0, 33.0, 44.0, 55.0], n))
    return np.stack(columns, axis=1)


def names_and_values(raw, encodings):
    return dict(zip(encodings.input_names, encode(raw, encodings=encodings)[0], strict=True))


def with_value(name: str, value: float) -> np.ndarray:
    song = random_songs(1)
    song[0, RAW_INPUTS.index(name)] = value
    return song


def test_shape_and_names_agree() -> None:
    raw = random_songs(50)
    for optional in ((), ("popularity",), OPTIONAL_INPUTS):
        encodings = fit_encodings(raw, optional=optional)
        inputs, layout = encode(raw, encodings=encodings), encodings.layout
        # A number and its mask; one for each of five genres and their mask.
        n_inputs = 27 + sum(6 if name == "genre" else 2 for name in optional)
        assert inputs.shape == (50, n_inputs) == (50, len(encodings.input_names))
        assert layout.source.shape == layout.is_mask.shape == (n_inputs,)
        assert [n for n, m in zip(encodings.input_names, layout.is_mask, strict=True) if m] == [
            f"{name}_missing" for name in (*FEATURES, *optional)
        ]


@pytest.mark.parametrize("name", RAW_INPUTS)
def test_the_layout_tells_what_a_missing_value_changes(name: str) -> None:
    raw = random_songs(100)
    encodings = fit_encodings(raw, optional=OPTIONAL_INPUTS)
    layout = encodings.layout
    gap = with_value(name, np.nan)
    changed = np.flatnonzero(
        encode(random_songs(1), encodings=encodings)[0] != encode(gap, encodings=encodings)[0]
    )
    source = layout.source[[n == f"{name}_missing" for n in encodings.input_names]]
    # The key's place on the circle depends on the mode, too.
    assert set(layout.source[changed]) - {FEATURES.index("key")} == set(source) - {FEATURES.index("key")}
    missing = np.arange(layout.n_sources)[None] == source
    without = layout.hide(encode(random_songs(1), encodings=encodings), missing)
    others = ~np.isin(layout.source, [*source, FEATURES.index("key")])
    expected = encode(gap, encodings=encodings)[0]
    np.testing.assert_array_equal(without[0][layout.source == source], expected[layout.source == source])
    np.testing.assert_array_equal(without[0][others], expected[others])


def test_half_a_year_tells_new_songs_apart_and_six_years_hardly_old_ones() -> None:
    raw = random_songs(500)
    encodings = fit_encodings(raw, optional=["release_date"])
    new, older, old, years_older = (
        names_and_values(with_value("release_date", encodings.newest - age), encodings)["release_date"]
        for age in (1.0, 1.5, 30.0, 36.0)
    )
    assert new - older > 2 * (old - years_older) > 0
    newest = names_and_values(with_value("release_date", encodings.newest), encodings)["release_date"]
    future = names_and_values(with_value("release_date", encodings.newest + 5), encodings)["release_date"]
    assert future == newest


def test_an_optional_input_that_is_never_known_is_left_out() -> None:
    raw = random_songs(50)
    raw[:, RAW_INPUTS.index("popularity")] = np.nan
    assert fit_encodings(raw, optional=OPTIONAL_INPUTS).optional == ("release_date", "genre")


def test_the_commonest_genres_have_an_input_each() -> None:
    raw = random_songs(200)
    codes = raw[:, RAW_INPUTS.index("genre")]
    codes[:] = np.concatenate(
        [np.full(60, 7.0), np.full(50, 5.0), 1000.0 + np.arange(80) // 2, np.full(10, np.nan)]
    )
    encodings = fit_encodings(raw, optional=["genre"])
    assert encodings.genres == (7.0, 5.0, *(1000.0 + np.arange(30)))
    inputs = encode(raw, encodings=encodings)
    named = {name: inputs[:, i] for i, name in enumerate(encodings.input_names)}
    np.testing.assert_array_equal(named["genre_1"], codes == 7.0)
    np.testing.assert_array_equal(named["genre_2"], codes == 5.0)
    np.testing.assert_array_equal(named["genre_missing"], np.isnan(codes))
    of_any = sum(named[f"genre_{i + 1}"] for i in range(32))
    np.testing.assert_array_equal(of_any, codes < 1030)


@pytest.mark.parametrize(("key", "mode", "same_as"), [(9, 0, 0), (4, 0, 7), (0, 0, 3)])
def test_a_minor_key_stands_at_its_relative_major(key: int, mode: int, same_as: int) -> None:
    minor = fifths_angle(np.array([float(key)]), np.array([float(mode)]))
    major = fifths_angle(np.array([float(same_as)]), np.array([1.0]))
    np.testing.assert_allclose(minor, major)


def test_a_fifth_is_nearer_than_a_semitone() -> None:
    c, g, c_sharp = (fifths_angle(np.array([k]), np.array([1.0]))[0] for k in (0.0, 7.0, 1.0))
    assert np.cos(c - g) > np.cos(c - c_sharp)


@given(st.floats(20, 400))
def test_double_tempo_has_the_same_angle(tempo: float) -> None:
    one, two = octave_angle(np.array([tempo])), octave_angle(np.array([2 * tempo]))
    np.testing.assert_allclose([np.cos(one), np.sin(one)], [np.cos(two), np.sin(two)], atol=1e-9)


def test_missing_is_marked_and_stands_at_the_mean() -> None:
    raw = random_songs(100)
    encodings = fit_encodings(raw)
    for name in FEATURES:
        encoded = names_and_values(with_value(name, np.nan), encodings)
        assert encoded[f"{name}_missing"] == 1.0
        assert sum(v for k, v in encoded.items() if k.endswith("_missing")) == 1.0
        assert encoded.get(name, 0.0) == 0.0


def test_standardized_over_the_known_values() -> None:
    raw = random_songs(5000)
    raw[::7, FEATURES.index("energy")] = np.nan
    encodings = fit_encodings(raw)
    encoded = encode(raw, encodings=encodings)
    energy = encoded[~np.isnan(raw[:, FEATURES.index("energy")]), encodings.input_names.index("energy")]
    assert abs(energy.mean()) < 1e-3
    assert abs(energy.std() - 1) < 1e-3


@pytest.mark.parametrize(("name", "value"), [("popularity", 1e12), ("release_date", 2099.0), ("loudness", -1e6)])
def test_one_wrong_value_moves_no_scale(name: str, value: float) -> None:
    raw = random_songs(3000)
    poisoned = raw.copy()
    poisoned[17, RAW_INPUTS.index(name)] = value
    one, other = (fit_encodings(songs, optional=OPTIONAL_INPUTS) for songs in (raw, poisoned))
    np.testing.assert_allclose(other.newest, one.newest, atol=0.1)
    difference = np.abs(np.array(one.centers) - other.centers) / one.scales
    assert difference.max() < 0.01
    np.testing.assert_allclose(other.scales, one.scales, rtol=0.01)


def test_extremes_stay_finite_and_bounded() -> None:
    encodings = fit_encodings(random_songs(100))
    for rule in FEATURE_RULES:
        for value in (rule.low, rule.high):
            encoded = encode(with_value(rule.name, value), encodings=encodings)
            assert np.isfinite(encoded).all()
            assert np.abs(encoded).max() <= 4.0


def test_constant_or_unknown_features_do_not_divide_by_zero() -> None:
    raw = np.repeat(random_songs(1), 20, axis=0)
    raw[:, 0] = np.nan
    assert np.isfinite(encode(raw, encodings=fit_encodings(raw))).all()


@given(st.integers(0, 99), st.integers(1, 60))
def test_a_row_depends_on_its_own_song_alone(row: int, size: int) -> None:
    raw = random_songs(100)
    encodings = fit_encodings(raw)
    alone = encode(raw[row : row + 1], encodings=encodings)
    batch = encode(raw[row : row + size], encodings=encodings)
    np.testing.assert_array_equal(alone[0], batch[0])


def test_survives_json() -> None:
    encodings = fit_encodings(random_songs(30), optional=OPTIONAL_INPUTS)
    assert Encodings.from_dict(json.loads(json.dumps(encodings.as_dict()))) == encodings

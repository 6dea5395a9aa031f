import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicrec.algorithms.layout import Loads, estimate_loads, make_layout


def loads_of(sizes: list[tuple[int, int]]) -> Loads:
    home, rows = (np.array(column, dtype=float) for column in zip(*sizes, strict=True))
    return Loads(np.arange(len(sizes)) * 3, home, rows)


def test_loads_scale_up_the_sample() -> None:
    buckets = np.array([[5, 2, -1], [2, -1, -1], [5, 7, 2]])
    loads = estimate_loads(buckets, n_homes=1, n_items=300)
    assert loads.buckets.tolist() == [2, 5, 7]
    assert loads.n_home.tolist() == [100.0, 200.0, 0.0]
    assert loads.n_items.tolist() == [300.0, 200.0, 100.0]
    assert loads.n_copies == 600.0
    assert loads.n_pairs == 100.0 * 300.0 + 200.0 * 200.0


def test_loads_of_a_sample_are_close_to_the_truth() -> None:
    rng = np.random.default_rng(0)
    everything = rng.zipf(1.5, size=(200_000, 1)).clip(max=50).astype(np.int64)
    sampled = estimate_loads(everything[:20_000], n_homes=1, n_items=200_000)
    exact = estimate_loads(everything, n_homes=1, n_items=200_000)
    assert sampled.n_pairs == pytest.approx(exact.n_pairs, rel=0.03)
    assert sampled.n_items[0] == pytest.approx(exact.n_items[0], rel=0.03)


@given(
    sizes=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 5000)), min_size=1, max_size=60),
    max_unit_rows=st.integers(10, 3000),
    n_partitions=st.integers(1, 9),
)
def test_units_are_bounded_and_each_has_a_place(sizes, max_unit_rows: int, n_partitions: int) -> None:
    loads = loads_of(sizes)
    layout = make_layout(loads, max_unit_rows=max_unit_rows, n_partitions=n_partitions)
    for bucket, (_, n_rows) in zip(loads.buckets.tolist(), sizes, strict=True):
        parts = layout.parts_of(bucket)
        assert n_rows / parts <= max_unit_rows
        assert parts == 1 or n_rows / (parts - 1) > max_unit_rows
        assert all((bucket, unit) in layout.partitions for unit in range(parts))
    assert set(layout.partitions.values()) <= set(range(n_partitions))


@given(
    sizes=st.lists(st.tuples(st.integers(1, 500), st.integers(1, 5000)), min_size=1, max_size=60),
    n_partitions=st.integers(1, 9),
)
def test_no_partition_costs_more_than_graham_says(sizes, n_partitions: int) -> None:
    loads = loads_of(sizes)
    layout = make_layout(loads, max_unit_rows=10**6, n_partitions=n_partitions)
    cost = dict(zip(loads.buckets.tolist(), (loads.n_home * loads.n_items).tolist(), strict=True))
    sums = np.zeros(n_partitions)
    for (bucket, _), partition in layout.partitions.items():
        sums[partition] += cost[bucket]
    # The greedy rule ends within the mean plus the largest unit; half of the catalog in one bucket is cut first.
    assert sums.max() <= loads.n_pairs / n_partitions + max(cost.values()) + 1e-6


def test_an_unknown_bucket_has_a_place_too() -> None:
    layout = make_layout(loads_of([(1, 1)]), max_unit_rows=10, n_partitions=4)
    assert layout.parts_of(999) == 1
    assert layout.partition_of(999, 0) == 3

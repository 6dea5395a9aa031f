import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from musicrec.neighbors.search import index as layout
from musicrec.neighbors.search.index import CellIndex, CellReader, cut_parts, cut_units
from musicrec.neighbors.search.items import Items

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=60)


def index_of(sizes: list[int], n_parts: int) -> CellIndex:
    first_cells = cut_parts(np.array(sizes, dtype=float), n_parts=n_parts)
    return CellIndex(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), first_cells)


def reader_of(index: CellIndex) -> CellReader:
    rows = np.arange(index.starts[-1])
    everything = Items(rows, rows[:, None], rows[:, None].astype(np.float32))
    bounds = index.starts[index.first_cells]
    return CellReader(lambda part: everything.take(slice(int(bounds[part]), int(bounds[part + 1]))), index)


@given(SIZES, st.integers(1, 9))
def test_parts_hold_each_cell_once_and_are_even(sizes: list[int], n_parts: int) -> None:
    first_cells = cut_parts(np.array(sizes, dtype=float), n_parts=n_parts)
    assert len(first_cells) == n_parts + 1
    assert (first_cells[0], first_cells[-1]) == (0, len(sizes))
    assert (np.diff(first_cells) >= 0).all()
    held = np.add.reduceat(np.append(sizes, 0), first_cells[:-1]) * (np.diff(first_cells) > 0)
    assert held.max() <= sum(sizes) / n_parts + max(sizes)


@given(SIZES, st.integers(1, 9), st.data())
def test_rows_are_read_across_parts(sizes: list[int], n_parts: int, data: st.DataObject) -> None:
    index = index_of(sizes, n_parts)
    total = int(index.starts[-1])
    if total == 0:
        return
    start = data.draw(st.integers(0, total - 1))
    stop = data.draw(st.integers(start + 1, total))
    assert reader_of(index).rows(start, stop).keys.tolist() == list(range(start, stop))


@given(SIZES, st.integers(1, 9), st.integers(1, 50), st.integers(0, 99))
def test_chunks_hold_each_row_of_the_cells_once(sizes: list[int], n_parts: int, chunk: int, seed: int) -> None:
    index = index_of(sizes, n_parts)
    wanted = np.flatnonzero(np.random.default_rng(seed).random(len(sizes)) < 0.6)
    found: dict[int, list[int]] = {}
    whole = layout.CHUNK_ROWS
    layout.CHUNK_ROWS = chunk
    try:
        for items, spans in reader_of(index).chunks(wanted):
            assert len(items) <= chunk
            assert (spans.lasts - spans.firsts).sum() == len(items)
            for i, first, last in zip(spans.cell_indices, spans.firsts, spans.lasts, strict=True):
                found.setdefault(int(wanted[i]), []).extend(items.keys[first:last].tolist())
    finally:
        layout.CHUNK_ROWS = whole
    expected = {c: list(range(index.starts[c], index.starts[c + 1])) for c in wanted.tolist() if sizes[c]}
    assert found == expected


@given(
    SIZES,
    st.integers(1, 9),
    st.integers(1, 30),
    st.lists(st.floats(0.5, 50.0), min_size=60, max_size=60),
)
def test_units_are_bounded_even_and_whole(
    sizes: list[int], n_units: int, max_rows: int, cost: list[float]
) -> None:
    starts, costs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), np.array(cost[: len(sizes)])
    units = cut_units(starts, costs, n_units=n_units, max_rows=max_rows)
    if starts[-1] == 0:
        assert len(units) == 1
        return
    assert (units[0], units[-1]) == (0, starts[-1])
    assert (np.diff(units) > 0).all()
    assert np.diff(units).max() <= max_rows
    by_row = np.repeat(costs, sizes)
    spent = np.add.reduceat(by_row, units[:-1])
    # A unit ends within a row of where it should.
    assert spent.max() <= by_row.sum() / n_units + 2 * by_row.max()


def test_a_cell_with_half_of_all_is_many_units() -> None:
    sizes = np.array([1000, 100_000, *[1000] * 99])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    cost = np.where(sizes > 1000, 100_000.0, 1000.0)
    units = cut_units(starts, cost, n_units=16, max_rows=65_536)
    spent = np.add.reduceat(np.repeat(cost, sizes), units[:-1])
    assert spent.max() <= spent.sum() / 16 * 1.001

"""What has changed from one published snapshot to another: songs, lists, scores.

Both are sorted by id, so they are compared a range of ids at a time, whatever their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from musicrec.errors import ConfigError, StorageError
from musicrec.storage.datasets import RECOMMENDATIONS, STATUS, Dataset
from musicrec.storage.history import read_versions
from musicrec.storage.lookup import UNREADABLE
from musicrec.storage.ranged import open_ranged
from musicrec.storage.runs import Root
from musicrec.storage.snapshots import Snapshot, load_snapshot

N_NAMED = 5
_NO_ID = "\x00"


@dataclass
class Difference:
    """Counts of songs, places of lists and scores, summed over ranges.

    Attributes
    ----------
    n_before, n_after, n_new, n_gone : int
        Songs that one or the other has, and that only one has.
    n_lists, n_same_lists : int
        Songs that have a list in both, and those of which it is the same, in order.
    n_places, n_kept : int
        Places of these lists in the later one, and those whose song the earlier one has, too.
    score_before, score_after : float
        Sums over the places of these lists.
    n_places_before : int
    new, gone : list of str
        The first few.
    """

    n_before: int = 0
    n_after: int = 0
    n_new: int = 0
    n_gone: int = 0
    n_lists: int = 0
    n_same_lists: int = 0
    n_places: int = 0
    n_kept: int = 0
    n_places_before: int = 0
    score_before: float = 0.0
    score_after: float = 0.0
    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def add(self, other: Difference) -> None:
        """Add what another range has."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)
        self.new, self.gone = self.new[:N_NAMED], self.gone[:N_NAMED]

    @property
    def churn(self) -> float:
        """Share of the places of lists that both have whose song is another one; NaN without any."""
        return 1 - self.n_kept / self.n_places if self.n_places else float("nan")


def compare(root: Root, before: str, after: str) -> Difference:
    """Return what has changed from one run to another.

    Parameters
    ----------
    root : Root
    before, after : str
        Names of runs.

    Raises
    ------
    ConfigError
        There is no such run.
    StorageError
        A snapshot is deleted, or is not what was published.
    """
    snapshots = [_snapshot(root, run_id) for run_id in (before, after)]
    songs, lists = ([_Sorted(each, dataset) for each in snapshots] for dataset in (STATUS, RECOMMENDATIONS))
    found = Difference()
    for first, end in _ranges(songs):
        ids = [each.rows(first, end, ["track_id", "status"]) for each in songs]
        ids = [table.filter(pc.not_equal(table["status"], "quarantined"))["track_id"] for table in ids]
        found.add(_of_songs(*ids))
        found.add(_of_lists(*(each.rows(first, end, _COLUMNS) for each in lists)))
    return found


def as_lines(found: Difference, *, before: str, after: str) -> Iterator[str]:
    """Yield what a person reads.

    Parameters
    ----------
    found : Difference
    before, after : str
        Names of runs.
    """
    yield f"songs     {found.n_before} in {before}, {found.n_after} in {after}"
    for name, n, examples in (("new", found.n_new, found.new), ("gone", found.n_gone, found.gone)):
        told = f": {', '.join(examples)}{', ...' if n > len(examples) else ''}" if examples else ""
        yield f"{name:<9} {n}{told}"
    if not found.n_lists:
        yield "lists     none in both"
        return
    same = found.n_same_lists / found.n_lists
    yield f"lists     {found.n_lists} in both, {same:.1%} of them the same"
    yield f"churn     {found.churn:.1%} of their places have another song"
    means = (found.score_before / max(1, found.n_places_before), found.score_after / max(1, found.n_places))
    yield f"score     {means[0]:.4f} on average, then {means[1]:.4f}"


_COLUMNS = ["track_id", "rank", "recommended_track_id", "score"]


class _Sorted:
    """The rows of a published table, in the order of ids."""

    def __init__(self, snapshot: Snapshot, dataset: Dataset) -> None:
        told = {each["path"]: each for each in snapshot.manifest["files"]}
        self._snapshot = snapshot
        self.files = [told[name] for name in snapshot.names(dataset)]

    def rows(self, first: str, end: str | None, columns: Sequence[str]) -> pa.Table:
        """Return the rows with ids from one up to another, that excluded."""
        tables = [self._read(each["path"], columns) for each in self.files if _may_hold(each, first, end)]
        if not tables:
            return pa.table({name: pa.array([], _TYPES[name]) for name in columns})
        whole = pa.concat_tables(tables)
        keep = pc.greater_equal(whole["track_id"], first)
        keep = keep if end is None else pc.and_(keep, pc.less(whole["track_id"], end))
        return whole.filter(keep).combine_chunks()

    def _read(self, name: str, columns: Sequence[str]) -> pa.Table:
        n_bytes = self._snapshot.files[name][0]
        try:
            with open_ranged(self._snapshot.store, name, n_bytes=n_bytes) as source:
                return pq.ParquetFile(source).read(columns=list(columns))
        except UNREADABLE as error:
            where = self._snapshot.where(name)
            raise StorageError(f"cannot read the rows: {error}", where=where) from None


_TYPES = {"track_id": pa.string(), "status": pa.string(), "rank": pa.int32(), "recommended_track_id": pa.string(),
          "score": pa.float32()}  # fmt: skip


def _may_hold(file: dict[str, str | None], first: str, end: str | None) -> bool:
    low, high = file.get("first_id"), file.get("last_id")
    if low is None or high is None:
        return True
    return high >= first and (end is None or low < end)


def _ranges(tables: Sequence[_Sorted]) -> Iterator[tuple[str, str | None]]:
    """Yield ranges of ids: as many as the table of more files has files."""
    of_most = max(tables, key=lambda table: len(table.files))
    borders = sorted({str(each["first_id"]) for each in of_most.files if each.get("first_id") is not None})
    yield from zip(["", *borders[1:]], [*borders[1:], None], strict=True)


def _of_songs(before: pa.ChunkedArray, after: pa.ChunkedArray) -> Difference:
    new = after.filter(pc.invert(pc.is_in(after, value_set=before)))
    gone = before.filter(pc.invert(pc.is_in(before, value_set=after)))
    return Difference(
        n_before=len(before), n_after=len(after), n_new=len(new), n_gone=len(gone),
        new=new.slice(0, N_NAMED).to_pylist(), gone=gone.slice(0, N_NAMED).to_pylist(),
    )  # fmt: skip


def _of_lists(before: pa.Table, after: pa.Table) -> Difference:
    """Return what has changed in the lists of songs that both have."""
    own = [pc.is_in(a["track_id"], value_set=b["track_id"]) for a, b in ((before, after), (after, before))]
    before, after = before.filter(own[0]), after.filter(own[1])
    pairs, ranked = ([_texts(each, names) for each in (before, after)] for names in (_PAIR, _RANKED))
    kept = pc.sum(pc.is_in(pairs[1], value_set=pairs[0])).as_py() or 0
    # A list is the same where each of its places is, and it has as many.
    changed = [a.filter(pc.invert(pc.is_in(r, value_set=s)))["track_id"]
               for a, r, s in ((before, ranked[0], ranked[1]), (after, ranked[1], ranked[0]))]  # fmt: skip
    songs = pc.unique(after["track_id"])
    n_changed = len(pc.unique(pa.chunked_array([*changed[0].chunks, *changed[1].chunks], type=pa.string())))
    return Difference(
        n_lists=len(songs), n_same_lists=len(songs) - n_changed, n_places=len(after), n_kept=kept,
        n_places_before=len(before), score_before=pc.sum(before["score"]).as_py() or 0.0,
        score_after=pc.sum(after["score"]).as_py() or 0.0,
    )  # fmt: skip


_PAIR, _RANKED = ("track_id", "recommended_track_id"), ("track_id", "recommended_track_id", "rank")


def _texts(rows: pa.Table, names: Sequence[str]) -> pa.ChunkedArray:
    parts = [rows[name].cast(pa.string()) for name in names]
    return pc.binary_join_element_wise(*parts, _NO_ID)


def _snapshot(root: Root, run_id: str) -> Snapshot:
    for version in read_versions(root):
        if version.run_id == run_id and version.entry.get("manifest_sha256"):
            return load_snapshot(root, dict(version.entry))
    raise ConfigError(f"no published run {run_id!r}", todo="musicrec history --root ROOT lists them")

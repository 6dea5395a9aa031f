"""Artists of songs as hashes: which of them each row has, without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicrec.arrays import Bools, Ints, concatenate_ranges


@dataclass(frozen=True)
class Parts:
    """Hashes of texts: those of row i are `hashes[starts[i] : starts[i + 1]]`."""

    starts: Ints
    hashes: Ints

    @property
    def are_there(self) -> Bools:
        """Which rows have any."""
        found: Bools = np.diff(self.starts) > 0
        return found

    @staticmethod
    def none(n: int) -> Parts:
        """Return those of n rows that have none."""
        return Parts(np.zeros(n + 1, dtype=np.int64), np.empty(0, dtype=np.int64))

    def take(self, rows: Ints) -> Parts:
        """Return those of some rows (m,)."""
        starts, lengths = self.starts[rows], np.diff(self.starts)[rows]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        return Parts(ends, self.hashes[concatenate_ranges(starts, lengths)])

    def slice(self, first: int, last: int) -> Parts:
        """Return those of the rows from one to before another."""
        starts = self.starts[first : last + 1]
        return Parts(starts - starts[0], self.hashes[starts[0] : starts[-1]])

    @staticmethod
    def joined(several: Sequence[Parts]) -> Parts:
        """Return those of all rows, one after the other."""
        lengths = np.concatenate([np.diff(part.starts) for part in several])
        return Parts(np.concatenate([[0], np.cumsum(lengths)]), np.concatenate([part.hashes for part in several]))


@dataclass(frozen=True)
class Artists:
    """Artists of rows: `row` (n,) of what is said of each different text, `main`, `guests` and `leading`.

    `leading` is the hash of the first one where texts are cut at semicolons alone: commas and "and" are part of
    many names.
    """

    row: Ints
    main: Parts
    guests: Parts
    leading: Ints

    @property
    def have_guests(self) -> Bools:
        """Which rows name guests."""
        return self.guests.are_there[self.row]

    def without_guests(self) -> Artists:
        """Return main artists alone."""
        return Artists(self.row, self.main, Parts.none(len(self.main.starts) - 1), self.leading)

    def take(self, rows: Ints) -> Artists:
        """Return those of some rows (m,)."""
        return Artists(self.row[rows], self.main, self.guests, self.leading)

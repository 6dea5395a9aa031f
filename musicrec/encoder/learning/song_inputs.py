"""What is known of songs → model inputs: their values, what their artists' other songs are like, their titles.

Each part may be missing as a whole. Values come first, then what artists tell, then texts, then masks, 1 where
something is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from musicrec.arrays import Doubles, Floats, Ints
from musicrec.encoder.learning.artists import KnownArtists, Sums, other_songs
from musicrec.encoder.learning.inputs import Encodings, InputLayout, encode
from musicrec.encoder.learning.texts import TextEncoding, Texts, encode_texts
from musicrec.traits import FLAGS

ARTIST, TITLE = "artist_context", "title"
NO_FLAGS = np.empty(0, dtype=np.int64)
_BITS = np.array(list(FLAGS.values()))


@dataclass(frozen=True)
class RawSongs:
    """What is known of songs.

    Attributes
    ----------
    values : float64 array, shape (n, 15)
        `songs.RAW_INPUTS`; NaN is missing.
    artists : int64 array, shape (n,)
        Keys of their first artists, `artists.NO_ARTIST` where there is none.
    texts : tuple of Texts
        Titles and albums, folded; none where nobody asks for them.
    flags : int64 array, shape (n,)
        What titles and albums tell, `traits.FLAGS`; none where nobody asks for them.
    """

    values: Doubles
    artists: Ints
    texts: tuple[Texts, ...] = ()
    flags: Ints = field(default_factory=lambda: NO_FLAGS)

    def take(self, rows: Ints) -> RawSongs:
        """Return some of the songs, in this order."""
        texts, flags = tuple(each.take(rows) for each in self.texts), self.flags[rows] if self.texts else NO_FLAGS
        return RawSongs(self.values[rows], self.artists[rows], texts, flags)

    def rows(self, some: slice) -> RawSongs:
        """Return songs that follow each other, at most all from the first one on, without a copy."""
        texts = tuple(each.rows(some) for each in self.texts)
        return RawSongs(self.values[some], self.artists[some], texts, self.flags[some])


@dataclass(frozen=True)
class SongEncodings:
    """How what is known of songs becomes inputs.

    Attributes
    ----------
    values : Encodings
    with_artists : bool
        What the artists' other songs are like is an input.
    texts : TextEncoding, optional
        None where titles are no input.
    """

    values: Encodings
    with_artists: bool = False
    texts: TextEncoding | None = field(default=None, compare=False)

    @property
    def source_names(self) -> tuple[str, ...]:
        """What the inputs come from, as `InputLayout.source` counts it."""
        return (
            *self.values.source_names,
            *([ARTIST] if self.with_artists else []),
            *([TITLE] if self.texts else []),
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """All inputs in their order."""
        values, masks = self.values.value_names, [f"{name}_missing" for name in self.source_names]
        of_artists = [*(f"{ARTIST}_{name}" for name in values), f"{ARTIST}_songs"] if self.with_artists else []
        return (*values, *of_artists, *self._text_names, *masks)

    @property
    def layout(self) -> InputLayout:
        """What the model needs to know of the inputs."""
        of_values, names = self.values.layout, self.source_names
        source = [of_values.source[~of_values.is_mask]]  # (n_values,)
        if self.with_artists:
            source.append(np.full(len(source[0]) + 1, names.index(ARTIST)))
        if self.texts:
            source.append(np.full(len(self._text_names), names.index(TITLE)))
        n_told = sum(map(len, source))
        whole = np.concatenate([*source, np.arange(len(names))])
        return InputLayout(of_values.n_numeric, whole, np.arange(len(whole)) >= n_told)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        texts = self.texts.as_dict() if self.texts else None
        return {"values": self.values.as_dict(), "with_artists": self.with_artists, "texts": texts}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the rest."""
        return self.texts.arrays() if self.texts else {}

    @classmethod
    def from_parts(cls, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SongEncodings:
        """Return the encodings that `as_dict` and `arrays` tell of.

        Raises
        ------
        ValueError
            They do not fit each other, or this version.
        """
        texts = TextEncoding.from_parts(plain["texts"], arrays) if plain["texts"] else None
        return cls(Encodings.from_dict(plain["values"]), plain["with_artists"], texts)

    @property
    def _text_names(self) -> tuple[str, ...]:
        if self.texts is None:
            return ()
        return (
            *(f"{TITLE}_{i + 1}" for i in range(self.texts.table.shape[1])),
            *(f"{TITLE}_{name}" for name in FLAGS),
        )


def encode_songs(songs: RawSongs, *, encodings: SongEncodings, artists: KnownArtists | None = None) -> Floats:
    """Return the model inputs of songs, (n, n_inputs): finite, each row by its own song and its artist alone.

    Parameters
    ----------
    songs : RawSongs
        With texts, where these are inputs.
    encodings : SongEncodings
    artists : KnownArtists, optional
        The catalog's, as `encode_values` encodes its songs; without them no artist is known to have other songs.
    """
    (inputs,) = encode_blocks(songs, encodings=encodings, artists=artists, n_rows=max(1, len(songs.values)))
    return inputs


def encode_blocks(
    songs: RawSongs, *, encodings: SongEncodings, artists: KnownArtists | None = None, n_rows: int
) -> Iterator[Floats]:
    """Yield the model inputs of so many songs after the other, the last ones fewer, as `encode_songs`.

    Parameters
    ----------
    songs, encodings, artists
        As for `encode_songs`.
    n_rows : int
        At least 1.
    """
    # All artists at once: each look opens the files of most of them.
    found = artists.of(songs.artists) if encodings.with_artists and artists is not None else None
    for first in range(0, max(1, len(songs.values)), n_rows):
        some = slice(first, first + n_rows)
        yield _encode(songs.rows(some), encodings, (found[0][some], found[1][some]) if found is not None else None)


def _encode(songs: RawSongs, encodings: SongEncodings, artists: tuple[Ints, Sums] | None) -> Floats:
    """Return the model inputs of songs, of which is known how many songs their artists have, and their sums."""
    values, mask = encode_values(songs, encodings=encodings.values)  # (n, n_values), (n, n_sources of values)
    told, masks = [values], list[NDArray[Any]]([mask])
    if encodings.with_artists:
        counts = np.zeros(len(values), dtype=np.int64), np.zeros(values.shape, dtype=np.int64)
        others, none = other_songs(values, *(artists or counts))
        told.append(others)
        masks.append(none[:, None])
    if encodings.texts is not None:
        texts, none = encode_texts(songs.texts, encoding=encodings.texts)
        told += [texts, ((songs.flags[:, None] & _BITS) > 0) & ~none[:, None]]
        masks.append(none[:, None])
    return np.concatenate([*told, *masks], axis=1, dtype=np.float32)


def encode_values(songs: RawSongs, *, encodings: Encodings) -> tuple[Floats, Floats]:
    """Return the inputs that values become (n, n_values), and their masks (n, n_sources)."""
    inputs = encode(songs.values, encodings=encodings)
    n_values = len(encodings.value_names)
    return inputs[:, :n_values], inputs[:, n_values:]

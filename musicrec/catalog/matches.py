"""Playlists or favorites of which no id is a song's are those of another catalog, or have another form of ids."""

from __future__ import annotations

import pyarrow as pa

from musicrec.catalog.relations import Relation
from musicrec.errors import InputError
from musicrec.messages import NAMED
from musicrec.spark.tasks import Batches


def no_match(name: str, relation: Relation, *, uri: str, song_id: str) -> InputError:
    """Return the refusal of a relation that has no song of the catalog; looks into its files for an id once more.

    Parameters
    ----------
    name : str
        The key of `[input]`.
    relation : Relation
    uri : str
        Where it stands.
    song_id : str
        Of any song.
    """

    def first(batches: Batches) -> Batches:
        for batch in batches:
            if batch.num_rows:
                yield pa.RecordBatch.from_arrays([batch.column(1).slice(0, 1)], names=NAMED.names)
                return

    found = sorted(relation.map(first, NAMED).toArrow()["track_id"].to_pylist())
    if not found:
        return InputError(
            f"the {name} have no row with both ids", where=uri, todo=f"give rows, or no input.{name}"
        )
    return InputError(
        f"none of the {name} is a song of the catalog: they say {found[0]!r} where the catalog says {song_id!r}",
        where=uri,
        todo=f"give the {name} of this catalog, or map the column that holds its ids",
    )

"""A file of songs that no list holds → their keys."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import SparkSession

from musicrec.arrays import Ints
from musicrec.catalog import formats
from musicrec.catalog.columns import MALFORMED, find_columns
from musicrec.catalog.hashes import hash_texts
from musicrec.catalog.numbered import Numbered
from musicrec.catalog.relations import makers_of
from musicrec.catalog.texts import as_texts, coalesced
from musicrec.catalog.values import track_ids
from musicrec.config import InputConfig
from musicrec.errors import InputError
from musicrec.messages import KEYS_OF
from musicrec.spark.arrow import numbers
from musicrec.spark.failures import input_errors
from musicrec.spark.tasks import Batches


def read_barred(session: SparkSession, uri: str, settings: InputConfig) -> Ints:
    """Return the keys of songs that no list holds (n,), rising; none where no file is given.

    Parameters
    ----------
    session : SparkSession
    uri : str
        Of `lists.exclude`.
    settings : InputConfig

    Raises
    ------
    InputError
        The file cannot be read, or has no column for ids.
    """
    if not uri:
        return np.empty(0, dtype=np.int64)
    with input_errors(uri):
        # What is between the fields of the songs says nothing of these.
        settings = settings.model_copy(update={"csv_delimiter": ""})
        rows = formats.read_rows(session, uri, settings, are_songs=False)
        names = list(rows.names)
        settings = settings.model_copy(update={"id_from": makers_of(names, settings, where=uri)})
        configured = {name: source for name, source in settings.columns.items() if source in names}
        columns = find_columns(names, wanted=("track_id",), configured=configured, where=uri)
        sources = columns.get("track_id", ())
        if not sources and not settings.id_from:
            raise InputError(
                "no column for track_id", where=f"{uri}: {', '.join(names)}", todo="call the column track_id"
            )
        wanted = [*dict.fromkeys([*sources, *settings.id_from]), MALFORMED]

        def find_keys(batches: Batches) -> Batches:
            for batch in batches:
                given = dict(zip(wanted, batch.columns, strict=True))
                said = coalesced([as_texts(given[source]) for source in sources]) if sources else None
                ids = track_ids(said, given, n=batch.num_rows, settings=settings)
                whole = ids.filter(pc.and_(pc.is_valid(ids), pc.is_null(given[MALFORMED])))
                yield pa.RecordBatch.from_arrays([pa.array(hash_texts(whole))], names=KEYS_OF.names)

        found = rows.map(find_keys, KEYS_OF, columns=wanted).toArrow()
    return np.unique(numbers(found["track_key"]))


def check_barred(barred: Ints, numbered: Numbered, *, uri: str) -> None:
    """Refuse a file of which no id is a song's: it is of another catalog, or has another form of ids.

    Parameters
    ----------
    barred : int64 array, shape (n,)
        What `read_barred` returned.
    numbered : Numbered
    uri : str

    Raises
    ------
    InputError
    """
    if len(barred) and not numbered.knows(barred).any():
        raise InputError(
            f"none of the {len(barred)} songs of lists.exclude is one of the catalog, which says "
            f"{numbered.ids_of(0)[0].as_py()!r}",
            where=uri,
            todo="give ids of this catalog, or no lists.exclude",
        )

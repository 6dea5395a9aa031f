"""Every dataset by its name: what it is called, and what its rows are.

The names alone, so that who only reads them needs no Spark: a schema is looked up when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

# Of all that a snapshot holds; a reader that knows only earlier ones must not guess.
SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Dataset:
    """A place of files, below the work of a run or below its snapshot.

    Attributes
    ----------
    name : str
        Of the directory.
    schema_name : str
        Of its rows, in `schemas.py`; empty where its files hold no rows.
    is_published : bool
        It is a part of the snapshot.
    """

    name: str
    schema_name: str = ""
    is_published: bool = False

    @property
    def schema(self) -> StructType:
        """Columns of its rows."""
        from musicrec import schemas

        found: StructType = getattr(schemas, self.schema_name)
        return found


# catalog
SONGS = Dataset("songs")
NAMES = Dataset("names")
RELEASES = Dataset("releases")
TRACKS = Dataset("tracks", "TRACKS")
QUARANTINE = Dataset("quarantine", "QUARANTINE")
NUMBERED = Dataset("numbered")
NUMBERED_KEYS = Dataset("numbered-keys")
# encoder
ARTISTS = Dataset("artists")
MODEL = Dataset("model")
EMBEDDINGS = Dataset("embeddings", "EMBEDDINGS")
# neighbors
PACKED = Dataset("packed")
ITEMS = Dataset("items")
REPEATED = Dataset("repeated", "REPEATED")
NEIGHBORS = Dataset("neighbors", "NEIGHBORS")
# lists
MEMBERS = Dataset("members")
REFUSED = Dataset("refused", "REFUSED")
FAVORITES = Dataset("favorites", "FAVORITES")
LISTS = Dataset("lists")
OCCURRENCES = Dataset("occurrences", "OCCURRENCES")
PLACES = Dataset("places", "PLACES")
CHANGED = Dataset("changed", "OCCURRENCES")
RECOMMENDATIONS = Dataset("recommendations", "RECOMMENDATIONS", is_published=True)
USER_RECOMMENDATIONS = Dataset("user_recommendations", "USER_RECOMMENDATIONS", is_published=True)
STATUS = Dataset("status", "STATUS", is_published=True)
# The tables of a snapshot; the last has files only where there are favorites.
TABLES = (RECOMMENDATIONS, STATUS, USER_RECOMMENDATIONS)
# vectors: what the join for anyone's vectors writes, and what it replaces meanwhile
VECTOR_NEIGHBORS = Dataset("neighbors")
STAGED_NEIGHBORS = Dataset("staged-neighbors")
REPLACED_NEIGHBORS = Dataset("replaced-neighbors")

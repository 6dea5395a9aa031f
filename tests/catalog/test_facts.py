"""Various artists are an artist of a few songs, and none where most songs are theirs."""

import numpy as np
import pyarrow as pa

from musicrec.catalog.facts import count_various, counts_various, facts_of
from musicrec.catalog.named import name_columns
from musicrec.config_lists import ListsConfig
from musicrec.traits import NO_GROUP


def test_various_artists_count_where_they_are_few() -> None:
    artists = pa.array(["Various Artists", "A", "VA", None, "The Various", "A feat. B"])
    keys = np.arange(6)
    tracks = pa.table(name_columns(artists, pa.array([f"title {i}" for i in range(6)]), keys))
    assert count_various(tracks) == 3
    assert counts_various(10, 100)
    assert not counts_various(11, 100)
    settings, nobody = ListsConfig(exclude_flags=()), np.empty(0, dtype=np.int64)
    column = settings.facts.index("artist_key")
    counted, left = (
        facts_of(tracks, settings, barred=nobody, with_various=various)[:, column] for various in (True, False)
    )
    assert counted[1] == counted[5] == left[1] == left[5]
    assert counted[3] == left[3] == NO_GROUP
    assert (counted[[0, 2, 4]] != NO_GROUP).all()
    assert (left[[0, 2, 4]] == NO_GROUP).all()

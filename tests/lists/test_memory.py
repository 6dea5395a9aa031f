"""Tasks that make lists run in bounded memory where all songs are equal, or one listener likes very many.

Each process does what must fit and then, to show that the limit is real, what cannot.
"""

import sys

import pytest

from tests.neighbors.test_memory import ran_out_of_memory, run

# All songs have one and the same list: those that are not in it all ask the same few for a place.
SPREAD = """
import resource, sys
from pathlib import Path
import numpy as np
from musicrec.catalog.numbered import Numbered
from musicrec.lists import spread_tasks
from musicrec.lists.list_files import ListFiles
from musicrec.neighbors.search.rules import ListRules
from musicrec.storage.array_files import ArrayFiles
from musicrec.storage.stores import open_store
directory, n, k, limit = sys.argv[1], *map(int, sys.argv[2:])
files = ArrayFiles(open_store(directory))
places = np.broadcast_to(np.arange(k, dtype=np.int32), (n, k))
files.write(0, places=places, scores=np.ones((n, k), dtype=np.float32), facts=np.arange(n)[:, None])
lists = ListFiles(files, Numbered(files, files, np.array([0, n]), (), np.array([], dtype=np.int64)), k)
def offer(n_places, n_songs):
    spread_tasks.ASKED_PLACES = n_places
    return list(spread_tasks.offers_of(np.arange(k, n_songs), lists, ListRules()))
offer(100 * k, k + 1000)  # what is loaded once is not the task's
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20,) * 2)
found = offer(1_600_000, n)
print(len(found), sum(map(len, found)), flush=True)
offer(10 * n * k, n)
print("more fits")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(("n", "k", "enough_mb"), [(1_000_000, 10, 300), (10_000, 1000, 150)])
def test_songs_in_no_list_ask_for_their_places_a_few_at_a_time(tmp_path, n: int, k: int, enough_mb: int) -> None:
    done = run(SPREAD, tmp_path, n, k, enough_mb)
    n_batches = -(-(n - k) // (1_600_000 // (5 * k)))
    # Five songs are asked, and of each full list the last place is the cheapest.
    assert done.stdout.split() == [str(n_batches), str(5 * n_batches)], done.stderr[-2000:]
    ran_out_of_memory(done)

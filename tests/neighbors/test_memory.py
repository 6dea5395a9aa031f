"""A task of the join runs in bounded memory, however large the catalog and its cells are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.search.items import Items

N, DIM = 400_000, 64
LIMIT_MB = 150

# One cell holds the whole catalog, 102 MB in single precision, and every query asks it.
TASK = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from musicrec.neighbors.search.hashing import Exact
from musicrec.neighbors.search.index import CellIndex, CellReader
from musicrec.neighbors.search.spaces import Space, fit_frame
from musicrec.neighbors.join_tasks import JoinSettings, _join_unit
from musicrec.neighbors.item_files import ItemFiles
torch.set_num_threads(1)
n, dim, limit, n_queries = map(int, sys.argv[2:])
index = CellIndex(np.array([0, n]), np.array([0, 1]))
frame = fit_frame(np.zeros((1, dim), np.float32), Space())
read = ItemFiles(sys.argv[1]).read
settings = JoinSettings(10, 6, Space(), frame, Exact(1), index, np.array([0]), np.array([0]), read)
reader = CellReader(read, index)
_join_unit(reader, 0, 64, settings)  # what is compiled and loaded once is not the task's
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20,) * 2)
found = _join_unit(reader, 0, n_queries, settings)
print(len(found.keys), found.n_compared)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(("n_queries", "fits"), [(2_000, True), (250_000, False)])
def test_a_unit_fits_its_memory_and_only_its_rows_count(tmp_path: Path, n_queries: int, fits: bool) -> None:
    vectors = np.random.default_rng(0).standard_normal((N, DIM)).astype(np.float16)
    ItemFiles(str(tmp_path)).write(0, Items(np.arange(N), np.arange(N), vectors))
    arguments = [str(value) for value in (tmp_path, N, DIM, LIMIT_MB, n_queries)]
    done = subprocess.run([sys.executable, "-c", TASK, *arguments], capture_output=True, text=True)
    if fits:
        assert done.stdout.split() == [str(n_queries), str(n_queries * N)], done.stderr[-2000:]
    else:
        # The limit is real: more rows than it allows do not fit.
        assert done.returncode != 0
        assert "memory" in done.stderr.lower() or "alloc" in done.stderr.lower()


# All songs have one vector: 256 MB of them, 128 bytes each, if each brought its own.
EQUAL = """
import resource, sys
from pathlib import Path
import numpy as np
from musicrec.neighbors.search.hashing import Exact
from musicrec.neighbors.search.items import Items
from musicrec.neighbors.search.spaces import Space
from musicrec.neighbors.cell_tasks import CellSettings, _blocks, _form
n, dim, limit, n_pieces = map(int, sys.argv[1:])
settings = CellSettings(Exact(1), Space(), np.array([0, 1]), drawn_share=0.001, seed=1)
def form(n_pieces, n):
    blocks = []
    for keys in np.array_split(np.arange(n), n_pieces):
        songs = Items(keys, keys, np.broadcast_to(np.full(dim, 0.125, dtype=np.float16), (len(keys), dim)))
        blocks += list(_blocks(songs, settings, (0,)))
    return _form(blocks, settings)
form(2, 100)  # what is compiled and loaded once is not the task's
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20,) * 2)
_, items, repeated = form(n_pieces, n)
print(len(items), items.keys[0], repeated.num_rows)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(("limit_mb", "fits"), [(350, True), (50, False)])
def test_songs_with_one_vector_bring_it_once(limit_mb: int, fits: bool) -> None:
    n_songs = 2_000_000
    arguments = [str(value) for value in (n_songs, DIM, limit_mb, 20)]
    done = subprocess.run([sys.executable, "-c", EQUAL, *arguments], capture_output=True, text=True)
    if fits:
        assert done.stdout.split() == ["1", "0", str(n_songs)], done.stderr[-2000:]
    else:
        assert done.returncode != 0
        assert "memory" in done.stderr.lower() or "alloc" in done.stderr.lower()

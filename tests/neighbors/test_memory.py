"""A task of the join runs in bounded memory, however large the catalog and its cells are.

Each process does what must fit and then, to show that the limit is real, what cannot.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicrec.neighbors.item_files import ItemFiles
from musicrec.neighbors.search.items import Items
from tests.roots import as_store

N, DIM = 400_000, 64
LIMIT_MB = 150

# One cell holds the whole catalog, 102 MB in single precision, and every query asks it.
TASK = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from musicrec.neighbors.search.hashing import Exact
from musicrec.neighbors.search.index import CellIndex, CellReader
from musicrec.neighbors.search.rules import ListRules
from musicrec.neighbors.search.spaces import Space, fit_frame
from musicrec.neighbors.join_tasks import JoinSettings, _join_unit
from musicrec.neighbors.item_files import ItemFiles
from musicrec.storage.stores import open_store
torch.set_num_threads(1)
n, dim, limit, few, many = map(int, sys.argv[2:])
index = CellIndex(np.array([0, n]), np.array([0, 1]))
frame = fit_frame(np.zeros((1, dim), np.float32), Space())
read = ItemFiles(open_store(sys.argv[1])).read
settings = JoinSettings(10, 6, ListRules(), Space(), frame, Exact(1), index, np.array([0]), np.array([0]), read)
reader = CellReader(read, index)
_join_unit(reader, 0, 64, settings)  # what is compiled and loaded once is not the task's
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20,) * 2)
found = _join_unit(reader, 0, few, settings)
print(len(found.keys), found.n_compared, flush=True)
_join_unit(reader, 0, many, settings)
print("more fits")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_unit_fits_its_memory_and_only_its_rows_count(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((N, DIM), dtype=np.float32).astype(np.float16)
    ItemFiles(as_store(tmp_path)).write(0, Items(np.arange(N), np.arange(N)[:, None], vectors))
    few, many = 1000, 250_000
    done = run(TASK, tmp_path, N, DIM, LIMIT_MB, few, many)
    assert done.stdout.split() == [str(few), str(few * N)], done.stderr[-2000:]
    ran_out_of_memory(done)


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def ran_out_of_memory(done: subprocess.CompletedProcess[str]) -> None:
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
n, dim, n_pieces, *limits = map(int, sys.argv[1:])
settings = CellSettings(Exact(1), Space(), np.array([0, 1]), drawn_share=0.001, seed=1)
def form(n_pieces, n):
    blocks = []
    for keys in np.array_split(np.arange(n), n_pieces):
        vectors = np.broadcast_to(np.full(dim, 0.125, dtype=np.float16), (len(keys), dim))
        songs = Items(keys, keys[:, None], vectors)
        blocks += list(_blocks(songs, settings, (0,)))
    return _form(blocks, settings)
form(2, 100)  # what is compiled and loaded once is not the task's
for limit in limits:
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20, resource.RLIM_INFINITY))
    _, items, repeated = form(n_pieces, n)
    print(len(items), items.keys[0], repeated.num_rows, flush=True)
    del items, repeated
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_songs_with_one_vector_bring_it_once() -> None:
    n_songs, enough_mb, too_little_mb = 2_000_000, 350, 50
    done = run(EQUAL, n_songs, DIM, 20, enough_mb, too_little_mb)
    assert done.stdout.split() == ["1", "0", str(n_songs)], done.stderr[-2000:]
    ran_out_of_memory(done)

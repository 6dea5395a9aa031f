import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import rules

# A thread has the name of its process until it is given another: only the ids tell them apart.
LIST_THREADS = """
import os, sys
from musicrec.daemon import preload
preload()
others = [each for each in os.listdir("/proc/self/task") if int(each) != os.getpid()]
print(*[open(f"/proc/self/task/{each}/comm").read().strip() for each in others])
print(*[name for name in sys.modules if name.startswith("musicrec.")])
"""

# As Spark reads it: four bytes of a port, after all that the imports had to say.
SAY_TOO_MUCH = """
import os
from musicrec import daemon
import pyspark.daemon
pyspark.daemon.manager = lambda: os.write(1, b"PORT")
def preload():
    print("python")
    os.system("echo native")
daemon.preload = preload
daemon.serve()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are read from /proc")
@pytest.mark.parametrize("n_threads", [{}, {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}])
def test_all_that_tasks_run_is_there_and_no_thread_that_a_fork_would_lose(n_threads: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIST_THREADS], capture_output=True, text=True, check=True,
        env={**os.environ, **n_threads},
    )  # fmt: skip
    threads, loaded = done.stdout.splitlines()
    # Arrow's allocator starts its one anew in each process.
    assert [name for name in threads.split() if not name.startswith("jemalloc")] == []
    tasks = {name for name in rules.read_modules() if name.endswith("_tasks")}
    # Those draw the report, once a run, from what they import with it.
    assert tasks - set(loaded.split()) <= {"musicrec.report.range_tasks"}


def test_the_port_is_the_first_that_spark_reads() -> None:
    done = subprocess.run([sys.executable, "-c", SAY_TOO_MUCH], capture_output=True, text=True, check=True)
    assert done.stdout == "PORT"
    assert done.stderr.split() == ["python", "native"]


def test_a_worker_imports_pyspark_from_where_it_is_unpacked() -> None:
    import pyspark

    lib = Path(pyspark.__file__).parent / "python" / "lib"
    zipped = [str(path) for path in lib.glob("*.zip")]
    code = """
import sys
from musicrec.storage import environment
environment.prefer_unpacked()
import pyspark, py4j
print(pyspark.__file__, py4j.__file__)
print(*sys.path[-2:])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join([*zipped, str(rules.ROOT)])},
    )  # fmt: skip
    assert ".zip" in "".join(zipped)
    assert ".zip" not in done.stdout.splitlines()[0]
    assert set(done.stdout.splitlines()[1].split()) == set(zipped)

import subprocess
import sys
from pathlib import Path

from tests import rules

LIST_THREADS = """
import importlib, os, sys
from musicrec import daemon
for name in daemon.PRELOADED:
    importlib.import_module(name)
from musicrec.neighbors.search.warm import warm_up
warm_up()
names = [open(f"/proc/self/task/{each}/comm").read().strip() for each in os.listdir("/proc/self/task")]
print(*[name for name in names if not name.startswith(("python", "jemalloc"))])
print(*[name for name in sys.modules if name.startswith("musicrec.")])
"""


def test_all_that_tasks_run_is_there_and_no_thread_that_a_fork_would_lose() -> None:
    done = subprocess.run([sys.executable, "-c", LIST_THREADS], capture_output=True, text=True, check=True)
    threads, loaded = done.stdout.splitlines()
    assert threads == ""
    tasks = {name for name in rules.read_modules() if name.endswith("_tasks")}
    # Those draw the report, once a run, from what they import with it.
    assert tasks - set(loaded.split()) <= {"musicrec.report.range_tasks"}


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

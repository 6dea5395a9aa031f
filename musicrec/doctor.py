"""What a machine has of what a run needs. Starts no Spark."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from musicrec import __version__
from musicrec.errors import ConfigError, StorageError
from musicrec.shown import one_line
from musicrec.storage import environment, iceberg
from musicrec.storage.kernel_cache import kernels_directory
from musicrec.storage.programs import MEND_PYTHON, MIN_JAVA, MIN_PYTHON, java_version, python_answer
from musicrec.storage.promises import check_writable
from musicrec.storage.runs import POINTER, Root, open_root
from musicrec.storage.snapshots import open_snapshot
from musicrec.storage.space import free_disk, free_memory
from musicrec.storage.stores import MissingError

PACKAGES = (
    "pyspark", "numpy", "scipy", "numba", "pandas", "pyarrow", "torch", "safetensors", "pydantic", "tomli-w",
    "jinja2", "matplotlib", "packaging", "rich",
)  # fmt: skip
# What tasks import, and a function as a task runs it.
OF_WORKERS = ("pyspark", "numpy", "pyarrow", "torch", "numba")
TASK = f"""
import importlib.metadata, json, musicrec, {", ".join(OF_WORKERS)}
versions = {{name: importlib.metadata.version(name) for name in {OF_WORKERS}}}
print(json.dumps({{**versions, "musicrec": musicrec.__version__}}))
"""
# Below it Java does not start, or the first shuffle fills the disk.
MIN_FREE, GIB = 2**30, 2**30
TASK_S, N_SHOWN = 120, 3


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was checked, what was found, and how to mend it where it is not fine."""

    name: str
    found: str
    fix: str = ""


def examine(root: str | None) -> list[Finding]:
    """Return what the machine has of what a run needs."""
    findings = [_java(), _python("Python of the driver", sys.executable)]
    workers = _python("Python of the workers", environment.worker_python())
    findings.append(workers)
    # Of one that is none the packages say nothing more.
    findings += [] if workers.fix else [_task(environment.worker_python())]
    findings += [_package(name) for name in PACKAGES]
    findings += [_memory(), _space("free space for shuffles", environment.spark_scratch()), _kernels()]
    if root:
        findings += _of_root(root)
    return findings


def print_findings(findings: list[Finding]) -> None:
    """Print a line for each finding, and one more for how to mend what is not fine."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for finding in findings:
        mark = "[green]ok  [/green]" if not finding.fix else "[red]bad [/red]"
        console.print(mark, Text(one_line(f"{finding.name}: {finding.found}")))
        if finding.fix:
            console.print("     fix:", Text(one_line(finding.fix)))


def _java() -> Finding:
    java = environment.find_java()
    fix = f"install a Java runtime {MIN_JAVA} or newer (bash scripts/setup.sh does), or set JAVA_HOME"
    if not java:
        return Finding("Java", "not found", fix)
    version = java_version(java)
    if version is None:
        return Finding("Java", f"{java} does not start, or is no Java", fix)
    return Finding("Java", f"{version} ({java})", "" if version >= MIN_JAVA else fix)


def _python(name: str, executable: str) -> Finding:
    answer = python_answer(executable)
    if answer is None:
        return Finding(name, f"{executable} does not start, or is no Python", MEND_PYTHON)
    version, missing = answer
    told = f"{version[0]}.{version[1]} ({executable})"
    if missing:
        return Finding(name, f"{told} has no {', '.join(missing)}", MEND_PYTHON)
    fits = version >= MIN_PYTHON and version == sys.version_info[:2]
    return Finding(name, told, "" if fits else MEND_PYTHON)


def _package(name: str) -> Finding:
    needs = [need for need in _requirements() if re.match(rf"{name}\b", need)]
    wanted = needs[0].removeprefix(name) if needs else ""
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "not installed", f'pip install "{name}{wanted}"')
    fits = SpecifierSet(wanted).contains(found, prereleases=True)
    return Finding(name, f"{found} (wanted {wanted})", "" if fits else f'pip install "{name}{wanted}"')


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("musicrec") or []
    except importlib.metadata.PackageNotFoundError:
        # From a zip or a checkout that is not installed: any version is as good.
        return []


def _task(executable: str) -> Finding:
    """Let the workers' Python do what a task does first, and compare what it imports with what the driver has."""
    name, fix = "function on a worker", "install the same packages for the workers' Python, on every machine"
    try:
        done = subprocess.run(  # noqa: S603 - the executable that Spark would start
            [executable, "-c", TASK], capture_output=True, text=True, check=False, timeout=TASK_S
        )
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return Finding(name, f"{executable} gives no answer", fix)
    if found is None:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Finding(name, f"fails: {said[-1]}", fix)
    own = {"musicrec": __version__, **{each: _version(each) for each in OF_WORKERS}}
    other = [
        f"{each} {found.get(each)}, the driver has {own[each]}" for each in own if found.get(each) != own[each]
    ]
    return Finding(name, "; ".join(other) or f"imports {', '.join(own)}, as the driver", fix if other else "")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _memory() -> Finding:
    free, name = free_memory(), "free memory"
    if free is None:
        return Finding(name, "not known on this system")
    return Finding(name, f"{free / GIB:.1f} GiB", "" if free >= MIN_FREE else "end other programs, or add memory")


def _space(name: str, path: str) -> Finding:
    free = free_disk(path.split(",")[0])
    if free is None:
        return Finding(name, f"not known ({path})")
    fix = "" if free >= MIN_FREE else "make room there, or choose another place"
    return Finding(name, f"{free / GIB:.1f} GiB ({path})", fix)


def _kernels() -> Finding:
    directory, name = kernels_directory(), "cache of compiled loops"
    fix = "set NUMBA_CACHE_DIR to a directory that can be written; else each run compiles them anew"
    return Finding(name, directory) if directory else Finding(name, "no place can be written", fix)


def _of_root(uri: str) -> list[Finding]:
    """Ask a place for what publishing relies on; its URI may hold what nobody may see, and is not shown."""
    name = "output.root"
    try:
        root = open_root(uri)
        check_writable(root)
    except (ConfigError, StorageError) as error:
        return [Finding(name, ": ".join(filter(None, (error.what, error.where))), error.todo)]
    directory = root.store.path()
    told = [Finding(name, f"{'keeps its promises' if directory is None else 'can be written'} ({root.uri})")]
    told += [_space("free space", directory)] if directory else []
    return [*told, _published(root), *_of_catalog(root, iceberg.catalog_of(root))]


def _of_catalog(root: Root, name: str) -> list[Finding]:
    """Ask the catalog of Iceberg that the live run has, where it has one."""
    try:
        iceberg.check_catalog(root, name)
    except ConfigError as error:
        return [Finding("Iceberg", ": ".join(filter(None, (error.what, error.where))), error.todo)]
    return [Finding("Iceberg", f"{name} answers")] if name else []


def _published(root: Root) -> Finding:
    """Compare each file of the current snapshot with what was published."""
    name = "published files"
    try:
        root.store.stat(POINTER)
    except MissingError:
        return Finding(name, "none yet")
    except StorageError as error:
        return Finding(name, f"{error.what}: {error.where}", error.todo)
    try:
        snapshot = open_snapshot(root)
    except StorageError as error:
        return Finding(name, f"{error.what}: {error.where}", error.todo)
    broken = [f"{name} {fault}" for name, fault in snapshot.faults()]
    if not broken:
        return Finding(name, f"{len(snapshot.files)} as published ({snapshot.run_id})")
    more = f" and {len(broken) - N_SHOWN} more" if len(broken) > N_SHOWN else ""
    fix = "run `musicrec refresh`, and look at the disk"
    return Finding(name, f"{'; '.join(broken[:N_SHOWN])}{more} ({snapshot.store.uri})", fix)

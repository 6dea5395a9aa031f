"""What a machine has of what a run needs. Starts no Spark."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from musicrec.errors import ConfigError, StorageError
from musicrec.shown import one_line
from musicrec.storage import environment
from musicrec.storage.programs import MEND_PYTHON, MIN_JAVA, MIN_PYTHON, java_version, python_answer
from musicrec.storage.runs import check_writable, open_root

PACKAGES = (
    "pyspark", "numpy", "scipy", "numba", "pandas", "pyarrow", "torch", "safetensors", "pydantic", "tomli-w",
    "jinja2", "matplotlib", "packaging", "rich",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was checked, what was found, and how to mend it where it is not fine."""

    name: str
    found: str
    fix: str = ""


def examine(root: str | None) -> list[Finding]:
    """Return what the machine has of what a run needs."""
    findings = [_java(), _python("Python of the driver", sys.executable)]
    findings.append(_python("Python of the workers", environment.worker_python()))
    findings += [_package(name) for name in PACKAGES]
    if root:
        findings.append(_write_access(root))
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


def _write_access(root: str) -> Finding:
    try:
        check_writable(open_root(root))
    except (ConfigError, StorageError) as error:
        return Finding("write access", f"{error.what}: {error.where or root}", error.todo)
    return Finding("write access", root)

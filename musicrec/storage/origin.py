"""What a figure depends on besides the code that it is of: command, machine, date, commit and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from musicrec import __version__
from musicrec.storage.plain import without_secrets

ROOT = Path(__file__).parents[2]
# Files outside of these change no figure.
MEASURED = ("musicrec", "jobs", "scripts", "conf")
# Instruction sets that vector products depend on, as Linux and as a reader names them.
INSTRUCTION_SETS = {"avx2": "AVX2", "avx512f": "AVX-512"}
_ABSOLUTE = re.compile(r"(?<![\w.:/*-])/(?:[^\s/'\"=,]+/)*")


@dataclass(frozen=True)
class Origin:
    """Where a figure comes from, in words; `commit` is empty where the code is not a checkout."""

    command: str
    machine: str
    date: str
    commit: str
    versions: str

    def lines(self) -> list[str]:
        """Return a Markdown list."""
        where = f"; commit: {self.commit}" if self.commit else ""
        return [
            f"- command: `{self.command}`",
            f"- machine: {self.machine}",
            f"- date: {self.date}{where}",
            f"- versions: {self.versions}",
        ]


def find_origin(argv: Sequence[str], *, packages: Sequence[str] = ()) -> Origin:
    """Return the origin of what this process is about to measure.

    Parameters
    ----------
    argv : sequence of str
        The command line, as `sys.argv`.
    packages : sequence of str
        Names of distributions that the figures depend on besides Spark and torch.
    """
    versions = [f"musicrec {__version__}", f"Python {platform.python_version()}"]
    versions += [version for name in dict.fromkeys(("pyspark", "torch", *packages)) if (version := _version(name))]
    return Origin(
        command=as_command(argv),
        machine=describe_machine(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=_commit(),
        versions=", ".join(versions),
    )


def as_command(argv: Sequence[str], *, root: str = str(ROOT)) -> str:
    """Return a command line that says nothing of this machine: what stands outside of the checkout is in DIR.

    Parameters
    ----------
    argv : sequence of str
        The command line, as `sys.argv`.
    root : str
        The checkout.
    """
    program, *words = argv
    if Path(program).suffix == ".py" and Path(program).stem != "__main__":
        inside = os.path.relpath(os.path.abspath(program), root)
        start = ["python", Path(program).name if inside.startswith("..") else inside]
    else:
        start = ["musicrec"]
    words = [_ABSOLUTE.sub("DIR/", word.replace(f"{root}/", "")) for word in without_secrets(words)]
    return shlex.join([*start, *words])


def describe_machine() -> str:
    """Return processor, instruction sets, cores and memory in words."""
    model, flags = read_processor(_cpuinfo())
    sets = [label if flag in flags else f"no {label}" for flag, label in INSTRUCTION_SETS.items()] if flags else []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return ", ".join(
        [
            model or platform.machine(),
            *sets,
            f"{os.cpu_count()} cores",
            f"{memory:.0f} GB of memory",
            platform.system(),
        ]
    )


def read_processor(cpuinfo: str) -> tuple[str, set[str]]:
    """Return the name and the flags of the first processor, as Linux lists them; empty where it does not."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", ""), set(fields.get("flags", "").split())


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def _commit() -> str:
    if not (ROOT / ".git").exists():
        return ""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = commit and _git("status", "--porcelain", "--", *MEASURED)
    return f"{commit} + changes" if changed else commit


def _git(*words: str) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    found = subprocess.run([git, "-C", str(ROOT), *words], capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() if found.returncode == 0 else ""

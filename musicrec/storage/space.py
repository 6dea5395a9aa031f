"""What is free on a machine: bytes of disks and of memory."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

from musicrec.storage.files import Location

# Linux only; elsewhere nobody knows.
_MEMORY, _LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


def free_disk(path: Location) -> int | None:
    """Return the free bytes where a file or directory is or will be; None where that cannot be told."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return None


def free_memory() -> int | None:
    """Return the bytes that a process can still get, no more than its container may; None where nothing tells."""
    found = []
    with contextlib.suppress(OSError):
        known = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMORY.read_text(), flags=re.M)
        found += [int(known[1]) * 1024] if known else []
    # The word "max" where there is no limit.
    with contextlib.suppress(OSError, ValueError):
        found.append(int(_LIMIT.read_text()))
    return min(found, default=None)

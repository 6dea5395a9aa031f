"""Where a command spends its time: its own process and the Python processes that it starts, as a flame graph."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from musicrec.errors import StorageError

# Samples a second: enough to tell a tenth of a second of an hour, and a hundredth of a core.
RATE = 50


def profiled(command: list[str], picture: Path) -> list[str]:
    """Return the command that runs `command` and writes an SVG of what was on a core, by process and function.

    Raises
    ------
    StorageError
        py-spy is not installed.
    """
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise StorageError("py-spy is not installed", todo="install it: bash scripts/setup.sh bench")
    options = ["--subprocesses", "--format", "flamegraph", "--rate", str(RATE), "--output", str(picture)]
    return [program, "record", *options, "--", *command]

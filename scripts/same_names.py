"""List the public names that more than one module of the package defines."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.rules import names_twice, read_modules  # noqa: E402


def main() -> int:
    """Print each name with its modules and return the exit code."""
    words = (ROOT / "docs/words.md").read_text()
    unexplained = 0
    for name, modules in names_twice(read_modules()).items():
        is_explained = f"`{name}`" in words
        unexplained += not is_explained
        print(f"{name:<24} {', '.join(modules)}{'' if is_explained else '  NOT EXPLAINED in docs/words.md'}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())

"""The nightly run, and how many bytes its driver reads of a store that is no directory, said at its end."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from musicrec.cli import main
from musicrec.storage.hdfs_store import HdfsStore
from musicrec.storage.object_store import ObjectStore
from musicrec.storage.runs import PUBLISHED

OTHER = "other"


def counted(ask: Callable[..., Any], n_read: Counter[str]) -> Callable[..., Any]:
    """Return a request of a store that counts what it reads, in this process."""

    def read(self: Any, name: str, *given: Any) -> Any:
        found = ask(self, name, *given)
        place = PUBLISHED if f"/{PUBLISHED}/" in f"{self.uri}/{name}" else OTHER
        n_read[place] += sum(len(part) for part in found if isinstance(part, bytes))
        return found

    return read


if __name__ == "__main__":
    n_read: Counter[str] = Counter()
    for kind in (ObjectStore, HdfsStore):
        for name in ("get_tagged", "get_ranges"):
            setattr(kind, name, counted(getattr(kind, name), n_read))
    code = main(["refresh", *sys.argv[1:]])
    print(f"the driver read {n_read[PUBLISHED]} published bytes, and {n_read[OTHER]} others", file=sys.stderr)
    sys.exit(code)

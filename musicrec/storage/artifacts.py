"""The encoder's files: safetensors and JSON, never pickle, with digests that are checked before reading."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from musicrec.errors import StorageError
from musicrec.storage.files import write_bytes

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"


def save_encoder(directory: str, *, weights: bytes, description: bytes) -> dict[str, str]:
    """Write the two files and return the SHA-256 of each by its name.

    Parameters
    ----------
    directory : str
    weights : bytes
        safetensors.
    description : bytes
        JSON.
    """
    digests = {}
    for name, content in ((WEIGHTS, weights), (DESCRIPTION, description)):
        write_bytes(Path(directory, name), content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def load_encoder(directory: str, *, digests: dict[str, str]) -> tuple[bytes, bytes]:
    """Return the contents of the two files.

    Raises
    ------
    StorageError
        A file is missing or is not the one that was saved.
    """
    contents = []
    for name in (WEIGHTS, DESCRIPTION):
        path = Path(directory, name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read the encoder: {error.strerror}", where=str(path)) from None
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise StorageError("the encoder's file is not the one that was saved", where=str(path))
        contents.append(content)
    return contents[0], contents[1]


def checkpoint_path(directory: str, name: str) -> Path:
    """Return the file of a training's checkpoint."""
    return Path(directory, f"checkpoint-{name[:32]}.safetensors")


def save_checkpoint(directory: str, *, name: str, content: bytes) -> None:
    """Keep a training under way; the file appears whole.

    Parameters
    ----------
    directory : str
    name : str
        Of the training: 64 hexadecimal digits.
    content : bytes
        safetensors.
    """
    write_bytes(checkpoint_path(directory, name), content)


def find_checkpoint(directories: Iterable[str], *, name: str) -> bytes | None:
    """Return the newest checkpoint of a training under the directories of runs that failed, None without any."""
    # One that cannot be read is as good as none.
    with contextlib.suppress(OSError):
        newest = _newest(directories, name)
        return newest.read_bytes() if newest else None
    return None


def set_aside_checkpoint(directories: Iterable[str], *, name: str) -> str:
    """Give what `find_checkpoint` returned another name, so that nobody finds it again; return its path."""
    newest = _newest(directories, name)
    if newest is None:
        return ""
    aside = newest.with_name(f"broken-{newest.name}")
    # Where that cannot be done the next run says the same again.
    with contextlib.suppress(OSError):
        newest.replace(aside)
    return str(aside if aside.exists() else newest)


def _newest(directories: Iterable[str], name: str) -> Path | None:
    paths = [path for path in (checkpoint_path(each, name) for each in directories) if path.exists()]
    return max(paths, key=lambda path: path.stat().st_mtime, default=None)


def newest_checkpoints(directories: Iterable[Path]) -> list[Path]:
    """Return the checkpoints that lie beside the newest of all, none where there are none."""
    paths = [path for each in directories for path in each.glob("checkpoint-*.safetensors")]
    newest = max(paths, key=lambda path: path.stat().st_mtime, default=None)
    return [path for path in paths if newest and path.parent == newest.parent]


def drop_checkpoints(directory: str) -> None:
    """Delete the checkpoints of a run whose training is done."""
    for path in Path(directory).glob("checkpoint-*"):
        path.unlink(missing_ok=True)

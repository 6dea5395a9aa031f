"""The encoder's files: safetensors and JSON, never pickle, with digests that are checked before reading."""

from __future__ import annotations

import hashlib
from pathlib import Path

from musicrec.errors import StorageError

WEIGHTS, DESCRIPTION = "encoder.safetensors", "encoder.json"


def save_encoder(directory: Path, *, weights: bytes, description: bytes) -> dict[str, str]:
    """Write the two files and return the SHA-256 of each by its name."""
    directory.mkdir(parents=True, exist_ok=True)
    digests = {}
    for name, content in ((WEIGHTS, weights), (DESCRIPTION, description)):
        (directory / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def load_encoder(directory: Path, *, digests: dict[str, str]) -> tuple[bytes, bytes]:
    """Return the contents of the two files.

    Raises
    ------
    StorageError
        A file is missing or is not the one that was saved.
    """
    contents = []
    for name in (WEIGHTS, DESCRIPTION):
        path = directory / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StorageError(f"cannot read the encoder: {error.strerror}", where=str(path)) from None
        if hashlib.sha256(content).hexdigest() != digests.get(name):
            raise StorageError("the encoder's file is not the one that was saved", where=str(path))
        contents.append(content)
    return contents[0], contents[1]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

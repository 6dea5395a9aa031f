"""A training under way as bytes: safetensors, so what lies on a disk is numbers and never runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from musicrec import __version__
from musicrec.config import ModelConfig
from musicrec.encoder.learning.batches import TrainingSet
from musicrec.encoder.learning.optimizer import OneCycle

PLAIN = "plain"
# What stands before the numbers: a digest of all, this, the code's and torch's versions, the training's name.
_KIND = "musicrec-checkpoint-2"


@dataclass(frozen=True)
class Checkpoints:
    """Where a training under way is kept.

    Attributes
    ----------
    read : callable
        Takes the name of a training and returns what was last kept of it, or None.
    write : callable
        Takes a name and what is to be kept.
    on_restored : callable
        Called where a training goes on from what was kept.
    on_broken : callable
        Takes the name of a training, the last of which cannot be gone on from, and why.
    seconds : float
        The least time between two of them.
    """

    read: Callable[[str], bytes | None]
    write: Callable[[str, bytes], None]
    on_restored: Callable[[], None] = lambda: None
    on_broken: Callable[[str, str], None] = lambda _name, _why: None
    seconds: float = 30.0


def name_training(songs: TrainingSet, settings: ModelConfig) -> str:
    """Return a name that only a training on the same songs, settings and version of torch has."""
    digest = hashlib.sha256(f"{torch.__version__} {settings.model_dump_json()}".encode())
    arrays: list[NDArray[Any]] = [songs.inputs, songs.recordings, songs.artists, songs.validation]
    for kind in songs.positives:
        digest.update(f"{kind.kind} {kind.weight}".encode())
        arrays += [kind.song, kind.group]
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def seal(name: str, content: bytes) -> bytes:
    """Return the state of a training so that a later change of any bit, or of the code, is seen."""
    body = f"{_KIND} {__version__} {torch.__version__} {name}\n".encode() + content
    return hashlib.sha256(body).hexdigest().encode() + b" " + body


def unseal(name: str, sealed: bytes) -> bytes:
    """Return what `seal` was given.

    Raises
    ------
    ValueError
        It is not what was sealed, is of another version, or of another training.
    """
    digest, _, body = sealed.partition(b" ")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise ValueError("its digest is another")
    head, _, content = body.partition(b"\n")
    if head != f"{_KIND} {__version__} {torch.__version__} {name}".encode():
        raise ValueError("it is of another version or training")
    return content


def pack(
    modules: dict[str, nn.Module], optimizer: OneCycle, best: dict[str, Tensor], plain: dict[str, Any]
) -> bytes:
    """Return the state of a training.

    Parameters
    ----------
    modules : dict
        What is trained, by name.
    optimizer : OneCycle
    best : dict
        The weights of the best epoch.
    plain : dict
        All else, as JSON can hold it.
    """
    tensors = {f"best/{name}": tensor for name, tensor in best.items()}
    for part, module in modules.items():
        tensors |= {f"{part}/{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in optimizer.state().items()}
    text = json.dumps({**plain, "n_taken": optimizer.n_taken}).encode()
    # The generators of torch are part of the state: dropout draws from that of its device.
    tensors |= {PLAIN: torch.tensor(list(text), dtype=torch.uint8), "generator": torch.get_rng_state()}
    device = _device_of(modules)
    if device.type == "cuda":
        tensors["cuda_generator"] = torch.cuda.get_rng_state(device)
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def unpack(
    content: bytes, modules: dict[str, nn.Module], optimizer: OneCycle
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Restore what `pack` was given, and return the best weights and the plain rest.

    Parameters
    ----------
    content : bytes
        What `pack` returned.
    modules : dict
        As they were given to `pack`, with other weights; written.
    optimizer : OneCycle
        Written.

    Raises
    ------
    ValueError
        It is no state of such a training.
    """
    try:
        tensors = load(content)
        _check_names(tensors, modules, optimizer)
        plain = json.loads(bytes(tensors[PLAIN].tolist()))
        for part, module in modules.items():
            module.load_state_dict(_below(tensors, part))
        optimizer.restore(_below(tensors, "optimizer"), n_taken=plain.pop("n_taken"))
        torch.set_rng_state(tensors["generator"])
        device = _device_of(modules)
        if device.type == "cuda":
            torch.cuda.set_rng_state(tensors["cuda_generator"], device)
    except (SafetensorError, RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no checkpoint of this training: {error}") from error
    return _below(tensors, "best"), plain


def _check_names(tensors: dict[str, Tensor], modules: dict[str, nn.Module], optimizer: OneCycle) -> None:
    """Raise ValueError where a tensor is missing, or is one that a training does not have."""
    wanted = {PLAIN, "generator", *(f"optimizer/{name}" for name in optimizer.state())}
    wanted |= {f"{part}/{name}" for part, module in modules.items() for name in module.state_dict()}
    wanted |= {f"best/{name}" for name in modules["encoder"].state_dict()}
    wanted |= {"cuda_generator"} if _device_of(modules).type == "cuda" else set()
    if odd := wanted ^ set(tensors):
        raise ValueError(f"it lacks or adds {min(odd)}")


def _device_of(modules: dict[str, nn.Module]) -> torch.device:
    return next(parameter.device for module in modules.values() for parameter in module.parameters())


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}

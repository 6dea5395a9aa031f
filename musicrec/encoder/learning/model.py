"""The encoder: an MLP from model inputs to unit vectors, and its files: safetensors beside plain JSON.

Numbers pass through sines of learned periods first, each through its own: an MLP learns jumps in a single number
badly (Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical features in tabular deep learning", arXiv
2203.05556). LayerNorm is by Ba et al. (2016, arXiv 1607.06450), GELU by Hendrycks and Gimpel (2016, arXiv
1606.08415).

The vectors are rounded to half precision. That is what the neighbor join compares, so a published score is
the cosine of the published vectors, and equal songs have equal bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from musicrec.arrays import Floats
from musicrec.encoder.learning.baselines import Affine
from musicrec.encoder.learning.song_inputs import SongEncodings

# Matrix products may round differently for another number of rows. Always the same number makes a song's
# vector independent of the batch it came in.
_BLOCK_ROWS = 1024
MIN_NORM = 1e-6
CONSTANT = 0.1
# Before the names of arrays that belong to the encodings.
ENCODINGS = "encodings."


@dataclass(frozen=True)
class Architecture:
    """Widths of the encoder. No hidden layer and no training: a linear map (`trained` is False).

    Where it `has_linear`, a linear map of the inputs is added to what comes out of the layers. The first
    `n_numeric` inputs pass through periodic embeddings of `n_frequencies` and `numeric_width` as well; no
    frequencies, no embeddings.
    """

    n_inputs: int
    hidden_layers: tuple[int, ...]
    embedding_dim: int
    dropout: float = 0.0
    n_numeric: int = 0
    n_frequencies: int = 0
    frequency_scale: float = 0.0
    numeric_width: int = 0
    trained: bool = True
    has_linear: bool = False


class Encoder(nn.Module):
    """Numbers embedded; linear, LayerNorm, GELU and dropout per hidden layer; then a linear projection.

    Beside all of it, where the architecture says so, a linear map of the inputs: what it can tell needs no layers.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.numerical: PeriodicEmbedding | None = None
        width = architecture.n_inputs
        if architecture.n_frequencies:
            self.numerical = PeriodicEmbedding(
                architecture.n_numeric,
                n_frequencies=architecture.n_frequencies,
                scale=architecture.frequency_scale,
                width=architecture.numeric_width,
            )
            width += architecture.n_numeric * architecture.numeric_width
        layers: list[nn.Module] = []
        for next_width in architecture.hidden_layers:
            layers += [nn.Linear(width, next_width), nn.LayerNorm(next_width), nn.GELU()]
            layers += [Dropout(architecture.dropout)]
            width = next_width
        layers.append(nn.Linear(width, architecture.embedding_dim))
        self.architecture = architecture
        self.layers = nn.Sequential(*layers)
        self.linear: nn.Linear | None = None
        if architecture.has_linear:
            self.linear = nn.Linear(architecture.n_inputs, architecture.embedding_dim)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (batch, n_inputs) to unit vectors (batch, embedding_dim)."""
        first, *rest = self.layers
        if self.numerical is None:
            hidden = first(inputs)
        else:
            embedded = self.numerical(inputs[:, : self.architecture.n_numeric])  # (n_numeric * width, batch)
            hidden = linear_of_both(cast(nn.Linear, first), inputs, embedded)  # (batch, width of `first`)
        for layer in rest:
            hidden = layer(hidden)  # (batch, width of `layer`)
        if self.linear is not None:
            hidden = hidden + self.linear(inputs)  # (batch, embedding_dim)
        return nn.functional.normalize(hidden, dim=1, eps=MIN_NORM)


def start_linear(encoder: Encoder, projection: Affine) -> None:
    """Let an encoder begin as a linear map: what comes out of its layers is 0 until it is trained.

    Parameters
    ----------
    encoder : Encoder
        That has a linear map.
    projection : Affine
        Of at most as many directions as the encoder has; the others are 0.
    """
    last, linear = encoder.layers[-1], encoder.linear
    if not isinstance(last, nn.Linear) or linear is None:
        raise TypeError("the encoder has no linear map")
    width = min(projection.matrix.shape[1], linear.out_features)
    matrix = projection.matrix[:, :width]
    with torch.no_grad():
        for weights in (last.weight, last.bias, linear.weight, linear.bias):
            weights.zero_()
        linear.weight[:width] = torch.from_numpy(matrix.T.copy())  # (width, n_inputs)
        linear.bias[:width] = torch.from_numpy(-projection.center @ matrix)  # (width,)


def make_linear(projection: Affine) -> Encoder:
    """Return the encoder that is a linear map of the inputs: what is shipped where no network is better.

    One constant number more keeps a song at the center, say one of exactly average features, from the zero vector,
    which has no direction.
    """
    n_inputs, width = projection.matrix.shape
    encoder = Encoder(Architecture(n_inputs, (), width + 1, trained=False))
    layer = encoder.layers[0]
    if not isinstance(layer, nn.Linear):
        raise TypeError("an encoder without hidden layers is one linear map")
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:-1] = torch.from_numpy(projection.matrix.T.copy())  # (width, n_inputs)
        layer.bias[:-1] = torch.from_numpy(-projection.center @ projection.matrix)  # (width,)
        layer.bias[-1] = CONSTANT
    return encoder


def embed(encoder: Encoder, inputs: Floats) -> Floats:
    """Return the unit vectors of `inputs`.

    Parameters
    ----------
    encoder : Encoder
    inputs : float32 array, shape (n, n_inputs)

    Returns
    -------
    float32 array, shape (n, embedding_dim)
        Rounded to half precision, so of length 1 up to that. A row depends on its own inputs alone, whatever n
        is.
    """
    encoder.eval()
    n, n_inputs = inputs.shape
    # numpy's, because it asks for large pages: torch's own memory takes longer to fill for the first time.
    vectors = np.empty((n, encoder.architecture.embedding_dim), dtype=np.float32)
    block = np.zeros((_BLOCK_ROWS, n_inputs), dtype=np.float32)
    device = next(encoder.parameters()).device
    with torch.inference_mode():
        for start in range(0, n, _BLOCK_ROWS):
            rows = inputs[start : start + _BLOCK_ROWS]  # at most (_BLOCK_ROWS, n_inputs)
            block[: len(rows)] = rows
            unit = encoder(torch.from_numpy(block).to(device))  # (_BLOCK_ROWS, embedding_dim)
            vectors[start : start + len(rows)] = unit[: len(rows)].half().float().cpu().numpy()
    return vectors


def as_files(encoder: Encoder, *, encodings: SongEncodings) -> tuple[bytes, bytes]:
    """Return the safetensors file and the JSON file of an encoder: weights, and everything else."""
    weights = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    weights |= {f"{ENCODINGS}{name}": torch.from_numpy(array) for name, array in encodings.arrays().items()}
    description = {"architecture": asdict(encoder.architecture), "encodings": encodings.as_dict()}
    return save_tensors(weights), json.dumps(description, indent=2, sort_keys=True).encode()


def from_files(weights: bytes, description: bytes) -> tuple[Encoder, SongEncodings]:
    """Return the encoder and its encodings from what `as_files` gave.

    Raises
    ------
    ValueError
        The files do not fit each other.
    """
    plain: dict[str, Any] = json.loads(description)
    shape = plain["architecture"]
    architecture = Architecture(**{**shape, "hidden_layers": tuple(shape["hidden_layers"])})
    encoder, tensors = Encoder(architecture), load_tensors(weights)
    arrays = {name.removeprefix(ENCODINGS): tensors.pop(name).numpy() for name in list(tensors)
              if name.startswith(ENCODINGS)}  # fmt: skip
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the description: {error}") from error
    return encoder.eval(), SongEncodings.from_parts(plain["encodings"], arrays)


class Dropout(nn.Module):
    """Hide a share of the units while training, to a 256th (Srivastava et al. 2014).

    A byte decides on a unit: torch's own draws a double for each, a fifth of a training's time.

    Parameters
    ----------
    share : float
        0 or more, below 1.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.n_hidden = min(round(256 * share), 255)

    def forward(self, units: Tensor) -> Tensor:
        """Map (b, width) to the same shape, of the same mean."""
        if not self.training or not self.n_hidden:
            return units
        n = units.numel()
        words = torch.empty(-(-n // 8), dtype=torch.int64, device=units.device).random_(-(2**63), None)
        kept = torch.empty(units.shape, device=units.device)
        # Ones and zeros at once: truths would have to be turned into them, which takes as long as to draw them.
        torch.ge(words.view(torch.uint8)[:n].view_as(units), self.n_hidden, out=kept)
        return units * kept.mul_(256 / (256 - self.n_hidden))


class PeriodicEmbedding(nn.Module):
    """Each of `n_inputs` numbers, periods of its own, and a small linear layer of its own with ReLU.

    Parameters
    ----------
    n_inputs : int
    n_frequencies : int
        Of each number; there are a sine and a cosine of each.
    scale : float
        Standard deviation of the first frequencies, in periods per standard deviation of an input.
    width : int
        Numbers that one becomes.
    """

    phase: Tensor

    def __init__(self, n_inputs: int, *, n_frequencies: int, scale: float, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(n_inputs, n_frequencies))
        self.weight = nn.Parameter(torch.randn(n_inputs, 2 * n_frequencies, width) / math.sqrt(2 * n_frequencies))
        self.bias = nn.Parameter(torch.zeros(n_inputs, width, 1))
        # A cosine is a sine a quarter of a period later.
        phase = torch.tensor([0.0, math.pi / 2]).repeat_interleave(n_frequencies)[:, None]
        self.register_buffer("phase", phase, persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """Map (batch, n_inputs) to (n_inputs * width, batch)."""
        # Batch last: sines of long rows, and products that need no copy.
        rates = (2 * math.pi * self.frequencies).repeat(1, 2)[:, :, None]  # (n_inputs, 2 n_frequencies, 1)
        # (n_inputs, 2 n_frequencies, batch)
        waves = torch.addcmul(self.phase, rates, numbers.T.contiguous()[:, None, :]).sin()
        embedded = torch.baddbmm(self.bias, self.weight.transpose(1, 2), waves)  # (n_inputs, width, batch)
        return torch.relu(embedded).flatten(0, 1)  # (n_inputs * width, batch)


def linear_of_both(linear: nn.Linear, inputs: Tensor, embedded: Tensor) -> Tensor:
    """Return the linear layer of inputs and embeddings side by side.

    To put them side by side first would copy all of them, a tenth of an encoder's time.

    Parameters
    ----------
    linear : Linear
        Of n + width numbers to n_out.
    inputs : Tensor, shape (batch, n)
    embedded : Tensor, shape (width, batch)

    Returns
    -------
    Tensor, shape (batch, n_out)
    """
    n = inputs.shape[1]
    plain = torch.addmm(linear.bias, inputs, linear.weight[:, :n].T)  # (batch, n_out)
    return torch.addmm(plain, embedded.T, linear.weight[:, n:].T)  # (batch, n_out)

"""Numerical embeddings: a number as sines and cosines of learned frequencies.

Gorishniy et al. (2022, arXiv 2203.05556). A network sees a bare number only through straight lines, and bends
slowly. Periodic features let it treat songs of 118 and of 128 BPM as differently as two words.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class PeriodicEmbedding(nn.Module):
    """Each of `n_inputs` numbers, periods of its own, and a small linear layer of its own with ReLU."""

    phase: Tensor

    def __init__(self, n_inputs: int, *, n_frequencies: int, scale: float, width: int) -> None:
        """`scale`: standard deviation of the first frequencies, in periods per standard deviation of an input."""
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
        rates = (2 * math.pi * self.frequencies).repeat(1, 2)[:, :, None]
        waves = torch.addcmul(self.phase, rates, numbers.T.contiguous()[:, None, :]).sin()
        embedded = torch.baddbmm(self.bias, self.weight.transpose(1, 2), waves)
        return torch.relu(embedded).flatten(0, 1)


def linear_of_both(linear: nn.Linear, inputs: Tensor, embedded: Tensor) -> Tensor:
    """Return the linear layer of (batch, n) inputs and (width, batch) embeddings.

    To put them side by side first would copy all of them, a tenth of an encoder's time.
    """
    n = inputs.shape[1]
    plain = torch.addmm(linear.bias, inputs, linear.weight[:, :n].T)
    return torch.addmm(plain, embedded.T, linear.weight[:, n:].T)

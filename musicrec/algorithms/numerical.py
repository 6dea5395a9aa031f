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

    def __init__(self, n_inputs: int, *, n_frequencies: int, scale: float, width: int) -> None:
        """`scale`: standard deviation of the first frequencies, in periods per standard deviation of an input."""
        super().__init__()
        self.frequencies = nn.Parameter(scale * torch.randn(n_inputs, n_frequencies))
        self.weight = nn.Parameter(torch.randn(n_inputs, 2 * n_frequencies, width) / math.sqrt(2 * n_frequencies))
        self.bias = nn.Parameter(torch.zeros(n_inputs, 1, width))

    def forward(self, numbers: Tensor) -> Tensor:
        """Map (batch, n_inputs) to (batch, n_inputs * width)."""
        # Batch last: sines of long rows, and products that need no copy, take three quarters of the time.
        angles = (2 * math.pi * self.frequencies)[:, :, None] * numbers.T.contiguous()[:, None, :]
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (n_inputs, 2 * n_frequencies, batch)
        embedded = torch.baddbmm(self.bias.transpose(1, 2), self.weight.transpose(1, 2), waves)
        return torch.relu(embedded).flatten(0, 1).T

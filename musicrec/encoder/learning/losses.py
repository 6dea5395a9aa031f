"""Multi-positive contrastive loss: supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362).

A song should be nearer to the songs that share something with it (a playlist, an artist) than to the rest
of the batch. The loss of a song is the mean of -log softmax over its positives, weighted by their kind.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def contrastive_loss(vectors: Tensor, *, positives: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Return the mean loss over the songs that have a positive, 0 where none has.

    Parameters
    ----------
    vectors : Tensor, shape (b, d)
        Unit vectors.
    positives : Tensor, shape (b, b)
        Weights >= 0; 0 is no positive.
    excluded : bool Tensor, shape (b, b)
        Pairs that are neither positive nor negative: a song with itself, releases of one recording.
    temperature : float
        Divides the cosines.

    Returns
    -------
    Tensor, shape ()
        Natural logarithms (nats).
    """
    weights = positives.masked_fill(excluded, 0.0)  # (b, b)
    logits = (vectors @ vectors.T / temperature).masked_fill(excluded, float("-inf"))  # (b, b)
    log_shares = logits - torch.logsumexp(logits, dim=1, keepdim=True)  # (b, b)
    total = weights.sum(dim=1)  # (b,)
    # Where the weight is 0 the logarithm may be -inf, and 0 x inf is no number.
    picked = torch.where(weights > 0, log_shares, torch.zeros_like(log_shares))  # (b, b)
    per_song = -(weights * picked).sum(dim=1)[total > 0] / total[total > 0]  # (n_songs,)
    return per_song.mean() if len(per_song) else vectors.sum() * 0.0


def proxy_loss(
    vectors: Tensor,
    proxies: Tensor,
    *,
    row: Tensor,
    column: Tensor,
    temperature: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean loss of songs that should be nearest to the proxies of their groups.

    As by Movshovitz-Attias et al. (2017, arXiv 1703.07464). A proxy is a learned vector that stands for all songs
    of a group: each batch is compared with all groups, or a sample of them; the contrastive loss sees those that
    happen to be in it.

    Parameters
    ----------
    vectors : Tensor, shape (b, d)
        Unit vectors.
    proxies : Tensor, shape (n_groups, d)
        Of any length.
    row, column : int64 Tensor, shape (n_pairs,)
        Song and group of each pair; a song without any does not count.
    temperature : float
        Divides the cosines.
    weights : Tensor, shape (n_groups,), optional
        How many groups each one stands for among those that a song is compared with: of a sample the sum is then,
        on average, that of all (Jean et al. 2015, arXiv 1412.2007). None counts each once.

    Returns
    -------
    Tensor, shape ()
        Natural logarithms (nats).
    """
    unit, scaled = torch.nn.functional.normalize(proxies, dim=1), vectors / temperature  # (n_groups, d), (b, d)
    shift = unit.new_zeros(len(unit)) if weights is None else weights.log().to(unit.dtype)  # (n_groups,)
    totals: Tensor = _LogSumExp.apply(scaled, unit, shift)  # type: ignore[no-untyped-call]  # (b,)
    # Pair by pair: to read them out of all products would cost a second array of their size on the way back.
    logits = (scaled.index_select(0, row) * unit.index_select(0, column)).sum(dim=1)  # (n_pairs,)
    counts = torch.bincount(row, minlength=len(vectors))  # (b,)
    n_songs = (counts > 0).sum().clamp(min=1)
    return ((totals[row] - logits) / counts[row]).sum() / n_songs


class _LogSumExp(torch.autograd.Function):
    """The logarithm of the summed exponentials of shifted products of a row, with one array of them at a time.

    What the library's functions make of it fills five such arrays a step, half of the time of a training.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor, columns: Tensor, shift: Tensor) -> Tensor:
        """Map (b, d), (n, d) and (n,) to (b,)."""
        products = torch.addmm(shift, rows, columns.T)  # (b, n)
        largest = products.amax(dim=1, keepdim=True)  # (b, 1)
        powers = products.sub_(largest).exp_()  # (b, n)
        sums = powers.sum(dim=1, keepdim=True)  # (b, 1)
        ctx.save_for_backward(rows, columns, powers, sums)
        return (sums.log() + largest)[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of rows and columns."""
        rows, columns, powers, sums = ctx.saved_tensors
        share = gradient[:, None] / sums  # (b, 1)
        return (powers @ columns) * share, powers.T @ (rows * share), None  # (b, d), (n, d)

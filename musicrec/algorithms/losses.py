"""Multi-positive contrastive loss: supervised contrastive learning (Khosla et al. 2020, arXiv 2004.11362).

A song should be nearer to the songs that share something with it (a playlist, an artist) than to the rest
of the batch. The loss of a song is the mean of -log softmax over its positives, weighted by their kind.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    weights = positives.masked_fill(excluded, 0.0)
    logits = (vectors @ vectors.T / temperature).masked_fill(excluded, float("-inf"))  # (b, b)
    log_shares = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    total = weights.sum(dim=1)
    # Where the weight is 0 the logarithm may be -inf, and 0 x inf is no number.
    picked = torch.where(weights > 0, log_shares, torch.zeros_like(log_shares))
    per_song = -(weights * picked).sum(dim=1)[total > 0] / total[total > 0]
    return per_song.mean() if len(per_song) else vectors.sum() * 0.0


def proxy_loss(vectors: Tensor, proxies: Tensor, *, row: Tensor, column: Tensor, temperature: float) -> Tensor:
    """Return the mean loss of songs that should be nearest to the proxies of their groups.

    As by Movshovitz-Attias et al. (2017, arXiv 1703.07464). A proxy is a learned vector that stands for all songs
    of a group: each batch is compared with all groups; the contrastive loss sees those that happen to be in it.

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

    Returns
    -------
    Tensor, shape ()
        Natural logarithms (nats).
    """
    logits = vectors @ torch.nn.functional.normalize(proxies, dim=1).T / temperature  # (b, n_groups)
    log_shares = torch.log_softmax(logits, dim=1)
    counts = torch.bincount(row, minlength=len(vectors))
    n_songs = int((counts > 0).sum())
    return -(log_shares[row, column] / counts[row]).sum() / max(1, n_songs)

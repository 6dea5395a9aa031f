"""AdamW whose rate rises and falls once: the optimizer of the encoder, a step a call.

AdamW is that of torch (Loshchilov and Hutter 2019, arXiv 1711.05101), called as a function: an object of its
class takes a second and a half of imports, for compilers that are not used. The rate rises from a 25th of the
largest over three tenths of the steps and falls to nothing, along cosines, and the first moment's decay goes
the other way (Smith and Topin 2018, arXiv 1708.07120).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

RISING_SHARE = 0.3
# The largest rate in terms of the first, and the first in terms of the last.
START_DIVISOR, END_DIVISOR = 25.0, 1e4
# Decays of the moments: the first at the largest rate and at the others, and the second.
LOW_BETA, HIGH_BETA, BETA_2 = 0.85, 0.95, 0.999
EPSILON = 1e-8


class OneCycle:
    """The optimizer of some parameters.

    Parameters
    ----------
    parameters : iterable of Parameter
    rate : float
        The largest learning rate.
    weight_decay : float
    n_steps : int
        That there will be.

    Attributes
    ----------
    n_taken : int
        Steps so far.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, rate: float, weight_decay: float, n_steps: int
    ) -> None:
        self._parameters = list(parameters)
        self._rate, self._weight_decay, self._n_steps = rate, weight_decay, n_steps
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._counts = [torch.zeros((), device=p.device) for p in self._parameters]
        self.n_taken = 0

    def step(self) -> None:
        """Move the parameters that have a gradient, and forget the gradients."""
        moved = [i for i, parameter in enumerate(self._parameters) if parameter.grad is not None]
        rate, beta = one_cycle(self.n_taken, self._n_steps, rate=self._rate)
        with torch.no_grad():
            adamw(
                [self._parameters[i] for i in moved],
                [grad for i in moved if (grad := self._parameters[i].grad) is not None],
                [self._means[i] for i in moved],
                [self._squares[i] for i in moved],
                [],
                [self._counts[i] for i in moved],
                fused=True,
                amsgrad=False,
                beta1=beta,
                beta2=BETA_2,
                lr=rate,
                weight_decay=self._weight_decay,
                eps=EPSILON,
                maximize=False,
            )
        for parameter in self._parameters:
            parameter.grad = None
        self.n_taken += 1

    def state(self) -> dict[str, Tensor]:
        """Return the moments and counts, by name."""
        kinds = {"mean": self._means, "square": self._squares, "count": self._counts}
        return {f"{name}/{i}": tensor for name, tensors in kinds.items() for i, tensor in enumerate(tensors)}

    def restore(self, state: dict[str, Tensor], *, n_taken: int) -> None:
        """Go on from a state.

        Raises
        ------
        KeyError, RuntimeError
            It is none of these parameters.
        """
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.n_taken = n_taken


def one_cycle(step: int, n_steps: int, *, rate: float) -> tuple[float, float]:
    """Return the learning rate and the first moment's decay of a step.

    Parameters
    ----------
    step : int
        From 0.
    n_steps : int
    rate : float
        The largest.
    """
    # The step of the largest rate; before the first where there are few.
    top = RISING_SHARE * n_steps - 1
    first = rate / START_DIVISOR
    if step <= top:
        share = step / top
        return _between(first, rate, share), _between(HIGH_BETA, LOW_BETA, share)
    share = (step - top) / (n_steps - 1 - top)
    return _between(rate, first / END_DIVISOR, share), _between(LOW_BETA, HIGH_BETA, share)


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

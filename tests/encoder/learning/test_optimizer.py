import pytest
import torch
from torch import nn

from musicrec.encoder.learning.optimizer import OneCycle

RATE, DECAY = 0.01, 0.1


def made() -> nn.ModuleList:
    torch.manual_seed(3)
    return nn.ModuleList([nn.Linear(7, 5), nn.Linear(5, 2), nn.Linear(2, 1)])


def loss_of(layers: nn.ModuleList, step: int) -> torch.Tensor:
    found = torch.randn(8, 7, generator=torch.Generator().manual_seed(step))
    for layer in list(layers)[:2]:
        found = torch.tanh(layer(found))
    return (found - 0.5).square().sum()


@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 10, 57])
def test_steps_are_those_of_torch(n_steps: int) -> None:
    ours, theirs = made(), made()
    mine = OneCycle(ours.parameters(), rate=RATE, weight_decay=DECAY, n_steps=n_steps)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=n_steps)
    for step in range(n_steps):
        loss_of(ours, step).backward()
        mine.step()
        optimizer.zero_grad()
        loss_of(theirs, step).backward()
        optimizer.step()
        schedule.step()
    for left, right in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(left, right)
    # The last layer has no gradient, and no weight that decays.
    assert all(
        torch.equal(left, right) for left, right in zip(ours[2].parameters(), made()[2].parameters(), strict=True)
    )


def test_a_restored_optimizer_goes_on_as_if_it_had_not_stopped() -> None:
    through, stopped = made(), made()
    whole = OneCycle(through.parameters(), rate=RATE, weight_decay=DECAY, n_steps=20)
    first = OneCycle(stopped.parameters(), rate=RATE, weight_decay=DECAY, n_steps=20)
    second = OneCycle(stopped.parameters(), rate=RATE, weight_decay=DECAY, n_steps=20)
    for step in range(20):
        if step == 9:
            second.restore({name: tensor.clone() for name, tensor in first.state().items()}, n_taken=first.n_taken)
        loss_of(through, step).backward()
        whole.step()
        loss_of(stopped, step).backward()
        (first if step < 9 else second).step()
    assert all(torch.equal(a, b) for a, b in zip(through.parameters(), stopped.parameters(), strict=True))


def test_a_state_of_other_parameters_is_refused() -> None:
    one = OneCycle(made().parameters(), rate=RATE, weight_decay=DECAY, n_steps=2)
    with pytest.raises(KeyError):
        one.restore({}, n_taken=0)
    other = OneCycle(nn.Linear(3, 3).parameters(), rate=RATE, weight_decay=DECAY, n_steps=2)
    with pytest.raises(RuntimeError):
        other.restore(one.state(), n_taken=1)

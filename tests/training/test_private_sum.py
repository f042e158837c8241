import numpy as np
import pytest
import torch
from torch import nn

from recommender.errors import RecommenderError
from recommender.training.private_sum import ClippedSum, weight_of


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def users(count: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(5, 3).double() * (n + 1), torch.randn(5, 2).double()) for n in range(count)]


def loss_of(model: nn.Module, user: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    return (model(user[0]) - user[1]).square().mean()


def summed(model, people, max_norm, weights=None) -> list[torch.Tensor]:
    total = ClippedSum([*model.parameters()], max_norm, weights)
    for user in people:
        loss_of(model, user).backward()
        total.add()
    return total.sums


def by_hand(model, people, max_norm) -> list[torch.Tensor]:
    """Return the clipped sum by the definition: every user's gradient by itself, as one long vector."""
    rows = []
    for user in people:
        gradients = torch.autograd.grad(loss_of(model, user), [*model.parameters()])
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    norms = torch.stack(rows).norm(dim=1)
    whole = (torch.stack(rows) * (max_norm / norms).clamp(max=1)[:, None]).sum(0)
    sizes = [parameter.numel() for parameter in model.parameters()]
    return [part.view_as(p) for part, p in zip(whole.split(sizes), model.parameters(), strict=True)]


@pytest.mark.parametrize("max_norm", [0.05, 0.5, 5.0])
def test_it_is_the_clipped_sum_of_every_users_own_gradient(max_norm):
    model = two_layers()
    norms = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss_of(model, u), [*model.parameters()])]).norm()
        for u in users()
    ]
    assert min(norms) < 5.0 and max(norms) > 0.5  # some are cut at one of the norms, some are not
    for ours, theirs in zip(summed(model, users(), max_norm), by_hand(model, users(), max_norm), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-6)


def test_without_a_bound_it_is_the_plain_gradient_of_the_sum():
    model = two_layers()
    plain = torch.autograd.grad(sum(loss_of(model, user) for user in users()), [*model.parameters()])
    for ours, theirs in zip(summed(model, users(), 1e9), plain, strict=True):
        assert torch.allclose(ours, theirs)


@pytest.mark.parametrize("weights", [None, [1.0, 0.2, 3.0, 1.0]])
def test_one_user_more_or_less_moves_the_sum_by_no_more_than_the_norm(weights):
    model, people, max_norm = two_layers(), users(), 0.3
    whole = summed(model, people, max_norm, weights)
    for gone in range(len(people)):
        rest = summed(model, people[:gone] + people[gone + 1 :], max_norm, weights)
        distance = torch.cat([(a - b).flatten() for a, b in zip(whole, rest, strict=True)]).norm()
        assert distance <= max_norm * (1 + 1e-9)
        assert distance > 0.29  # all of them are cut here


def test_noise_has_the_deviation_that_the_norm_and_the_multiplier_say():
    parameter = nn.Parameter(torch.zeros(200_000))
    total = ClippedSum([parameter], max_norm=0.5)
    total.sums[0] += 3.0
    total.release(noise=2.0, users=10.0, random=np.random.default_rng(0))
    assert parameter.grad.mean() == pytest.approx(0.3, abs=0.001)
    assert parameter.grad.std() == pytest.approx(2.0 * 0.5 / 10, rel=0.01)
    assert not total.sums[0].any()  # the next step begins anew


def test_a_weight_takes_less_of_the_norm_and_gets_more_noise():
    one, other = nn.Parameter(torch.zeros(100_000)), nn.Parameter(torch.zeros(1))
    one.grad, other.grad = torch.full((100_000,), 10.0 / 100_000**0.5), torch.ones(1)
    total = ClippedSum([one, other], 1.0, [0.1, 1.0])
    assert total.add() == pytest.approx(2**0.5, rel=1e-5)
    assert total.sums[1] == pytest.approx(1 / 2**0.5, rel=1e-5)
    total.release(1.0, 1.0, np.random.default_rng(0))
    assert one.grad.std() == pytest.approx(10.0, rel=0.02)  # it was scaled down, and is scaled up with its noise
    assert one.grad.mean() == pytest.approx(10.0 / 100_000**0.5 / 2**0.5, abs=0.1)


def test_a_gradient_that_is_not_finite_stops_it():
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([1.0, torch.nan])
    with pytest.raises(RecommenderError, match="not finite"):
        ClippedSum([parameter], 1.0).add()


def test_what_is_trained_is_found_by_parts_of_names():
    assert weight_of("anything", None) == 1.0
    assert weight_of("layers.3.v_proj.lora_A.rank.weight", {"v_proj.lora_A": 0.5}) == 0.5
    assert weight_of("layers.3.v_proj.lora_B.rank.weight", {"v_proj.lora_A": 0.5}) is None

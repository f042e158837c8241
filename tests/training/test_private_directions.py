import numpy as np
import torch
from torch import nn

from recommender.training.private_directions import Directions, directions_of
from recommender.training.private_sum import ClippedSum


def test_they_are_orthonormal_and_those_of_the_items(make_checkpoint):
    checkpoint = make_checkpoint()
    found = directions_of(checkpoint.model, checkpoint.builder, content=3, states=5)
    projector = checkpoint.model.projectors["text"]
    few = found[projector.leave.weight]
    assert few.left.shape == (32, 5) and few.right.shape == (256, 3)
    for side in (few.left, few.right):
        assert torch.allclose(side.T @ side, torch.eye(side.shape[1]), atol=1e-5)
    inner = nn.functional.gelu(projector.enter(checkpoint.model.vectors_text.float())).detach()
    kept = (inner @ few.right).square().sum()
    random = torch.linalg.qr(torch.randn(256, 3, generator=torch.Generator().manual_seed(0)))[0]
    assert kept > 0.5 * inner.square().sum() > (inner @ random).square().sum()


def test_noise_and_users_move_a_matrix_in_them_only():
    left, right = (torch.linalg.qr(torch.randn(size, 2))[0] for size in (6, 5))
    matrix, few = nn.Parameter(torch.zeros(6, 5)), Directions(left, right)
    total = ClippedSum([matrix], 1.0, directions={matrix: few})
    matrix.grad = torch.randn(6, 5) * 100
    within = few.whole(few.within(matrix.grad))
    assert np.isclose(total.add(), float(within.norm()), rtol=1e-5)  # only what is told counts
    total.release(0.0, 1.0, np.random.default_rng(0))
    assert torch.allclose(matrix.grad, within / within.norm(), atol=1e-5)
    total.release(1.0, 1.0, np.random.default_rng(0))
    assert torch.allclose(matrix.grad, few.whole(few.within(matrix.grad)), atol=1e-5)
    assert matrix.grad.norm() > 0.1

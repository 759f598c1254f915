import math

import pytest
import torch
from torch import Tensor

from model.audio.flow import ActNorm, ConditionalFlow, FlowStep, InvertibleLinear


def trained_flow(dimension: int = 5, condition: int = 3) -> ConditionalFlow:
    """A flow whose parameters are all far from where they start."""
    torch.manual_seed(0)
    flow = ConditionalFlow(dimension, condition, steps=4, hidden=8)
    flow.train()
    flow(2 * torch.randn(4, 20, dimension) + 1, torch.randn(4, 20, condition))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return flow.eval()


@pytest.mark.parametrize("dimension", [2, 5, 24])
def test_reverse_undoes_forward(dimension: int) -> None:
    flow = trained_flow(dimension)
    x, condition = torch.randn(3, 30, dimension), torch.randn(3, 30, 3)
    z, there, _ = flow(x, condition)
    back, home, _ = flow(z, condition, reverse=True)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(back, x, atol=1e-4, rtol=0)
    torch.testing.assert_close(there + home, torch.zeros(3, 30), atol=1e-4, rtol=0)


def test_log_determinant_is_that_of_the_jacobian() -> None:
    flow = trained_flow().double()
    x, condition = torch.randn(1, 4, 5, dtype=torch.float64), torch.randn(1, 4, 3, dtype=torch.float64)

    def sequence(flat: Tensor) -> Tensor:
        return flow(flat.reshape(1, 4, 5), condition)[0].flatten()

    jacobian = torch.autograd.functional.jacobian(sequence, x.flatten())
    blocks = jacobian.reshape(4, 5, 4, 5)
    assert blocks[0, :, 1:].abs().max() == 0  # no frame depends on a later one
    torch.testing.assert_close(jacobian.slogdet().logabsdet, flow(x, condition)[1].sum(), atol=1e-9, rtol=0)


def test_frame_by_frame_equals_the_whole_sequence() -> None:
    flow = trained_flow()
    z, condition = torch.randn(2, 12, 5), torch.randn(2, 12, 3)
    whole, _, _ = flow(z, condition, reverse=True)
    state, frames = None, []
    for t in range(12):
        frame, _, state = flow(z[:, t : t + 1], condition[:, t : t + 1], state, reverse=True)
        frames.append(frame)
    torch.testing.assert_close(torch.cat(frames, dim=1), whole, atol=1e-5, rtol=0)


def test_nll_is_that_of_the_gaussian_it_stands_for() -> None:
    torch.manual_seed(1)
    flow = ConditionalFlow(3, 2, steps=1, hidden=4)  # an unturned coupling: the flow is affine
    data = torch.randn(8, 50, 3) @ torch.tensor([[2.0, 0, 0], [1, 1, 0], [0, 0.5, 0.3]]) + torch.tensor([1.0, -2, 3])
    flow.train()
    flow(data, torch.zeros(8, 50, 2))
    (step,) = flow.steps
    assert isinstance(step, FlowStep)
    norm, matrix = step.norm, step.mix
    weight = (matrix(torch.eye(3)[None])[0][0]).T @ torch.diag(norm.log_scale.exp())
    precision = weight.T @ weight
    gaussian = torch.distributions.MultivariateNormal(-norm.shift, precision_matrix=precision)
    torch.testing.assert_close(flow.nll(data, torch.zeros(8, 50, 2)), -gaussian.log_prob(data), atol=1e-3, rtol=1e-4)


def test_actnorm_sets_itself_once_and_the_flag_is_saved() -> None:
    norm = ActNorm(2).train()
    data = torch.randn(10, 40, 2) * torch.tensor([3.0, 0.2]) + 5
    y, log_determinant = norm(data)
    y, log_determinant = y.detach(), log_determinant.item()
    torch.testing.assert_close(y.mean(dim=(0, 1)), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std(dim=(0, 1)), torch.ones(2), atol=1e-2, rtol=0)
    assert log_determinant == pytest.approx(-math.log(3.0) - math.log(0.2), abs=0.2)
    restored = ActNorm(2).train()
    restored.load_state_dict(norm.state_dict())
    other = torch.randn(4, 4, 2)
    torch.testing.assert_close(restored(other)[0], norm(other)[0])


def test_an_unset_actnorm_does_not_set_itself_outside_training() -> None:
    norm = ActNorm(2).eval()
    norm(torch.randn(1, 5, 2) + 9)
    assert not norm.initialised


def test_the_linear_map_starts_as_a_rotation() -> None:
    torch.manual_seed(2)
    rows, log_determinant = InvertibleLinear(6)(torch.eye(6)[None])
    torch.testing.assert_close(rows[0] @ rows[0].T, torch.eye(6), atol=1e-5, rtol=0)
    assert log_determinant.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_whitening_starts_the_flow_as_the_gaussian_of_its_data() -> None:
    torch.manual_seed(3)
    data = torch.randn(5000, 4) @ torch.randn(4, 4) + torch.randn(4)
    flow = ConditionalFlow(4, 2, steps=3, hidden=8)
    flow.whiten(data)
    flow.train()
    flow(data[None], torch.zeros(1, 5000, 2))
    gaussian = torch.distributions.MultivariateNormal(data.mean(dim=0), torch.cov(data.T))
    nll = flow.nll(data[None], torch.zeros(1, 5000, 2)).detach()
    assert nll.mean().item() == pytest.approx(-gaussian.log_prob(data).mean().item(), abs=1e-2)

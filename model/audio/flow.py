"""A conditional normalizing flow over sequences: exact likelihood one way, samples the other.

Each frame's vector x_t passes K steps of ActNorm, an invertible linear map and an affine coupling (Kingma and Dhariwal,
"Glow", arXiv 1807.03039). The coupling's network is recurrent over time and sees the frame's condition (Henter et al.,
"MoGlow", arXiv 1905.06598). x_t -> z_t is invertible for every t given what came before, so the Jacobian of the whole
sequence is block triangular and its log-determinant the sum over frames.

Shapes: B batch, T frames, D dimensions of a frame, C of its condition.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

State = list[Tensor]  # one hidden state (1, B, H) for each step's recurrent network


class ActNorm(nn.Module):
    """y = (x + shift) * exp(log_scale), set on the first batch so that each dimension has mean 0, variance 1."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(dimension))
        self.log_scale = nn.Parameter(torch.zeros(dimension))
        self.initialised: Tensor
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set shift and scale from x (B, T, D)."""
        flat = x.reshape(-1, x.shape[-1])
        self.shift.copy_(-flat.mean(dim=0))
        self.log_scale.copy_(-flat.std(dim=0).clamp(min=1e-3).log())
        self.initialised.fill_(True)

    def forward(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """x (B, T, D) -> y (B, T, D) and the log-determinant of one frame, a scalar."""
        if reverse:
            return x * torch.exp(-self.log_scale) - self.shift, -self.log_scale.sum()
        if self.training and not self.initialised:
            self.initialise(x)
        return (x + self.shift) * torch.exp(self.log_scale), self.log_scale.sum()


class InvertibleLinear(nn.Module):
    """y = W x with W = P L (U + diag(s)): P a fixed permutation, L and U triangular; log |det W| = sum log |s|."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.permutation: Tensor
        self.sign: Tensor
        self.register_buffer("permutation", torch.zeros(dimension, dimension))
        self.register_buffer("sign", torch.zeros(dimension))
        self.lower = nn.Parameter(torch.zeros(dimension, dimension))
        self.upper = nn.Parameter(torch.zeros(dimension, dimension))
        self.log_diagonal = nn.Parameter(torch.zeros(dimension))
        self.initialise(torch.linalg.qr(torch.randn(dimension, dimension))[0])

    @torch.no_grad()
    def initialise(self, weight: Tensor) -> None:
        """Set W (D, D), which must be invertible."""
        permutation, lower, upper = torch.linalg.lu(weight)
        self.permutation.copy_(permutation)
        self.lower.copy_(lower.tril(-1))
        self.upper.copy_(upper.triu(1))
        self.sign.copy_(upper.diagonal().sign())
        self.log_diagonal.copy_(upper.diagonal().abs().log())

    def triangles(self) -> tuple[Tensor, Tensor]:
        """L (D, D), with its unit diagonal, and U (D, D) with the diagonal s."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), device=self.sign.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def forward(self, x: Tensor, *, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """x (B, T, D) -> y (B, T, D) and the log-determinant of one frame, a scalar."""
        lower, upper = self.triangles()
        if not reverse:
            return x @ (self.permutation @ lower @ upper).T, self.log_diagonal.sum()
        columns = self.permutation.T @ x.flatten(0, 1).T
        columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        columns = torch.linalg.solve_triangular(upper, columns, upper=True)
        return columns.T.reshape(x.shape), -self.log_diagonal.sum()


def bounded(raw: Tensor) -> Tensor:
    """The log scale of a coupling: `raw` kept under 2, so that one odd frame can not blow up the inverse."""
    return 2 * torch.tanh(raw / 2)


class RecurrentCoupling(nn.Module):
    """Half of x scales and shifts the rest through a GRU that also sees the condition; it starts as the identity."""

    def __init__(self, dimension: int, condition: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.kept = dimension // 2
        self.gru = nn.GRU(self.kept + condition, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, 2 * (dimension - self.kept))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, x: Tensor, condition: Tensor, state: Tensor | None, *, reverse: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D), condition (B, T, C), state (1, B, H) -> y (B, T, D), log-determinant (B, T), the next state."""
        kept, changed = x[..., : self.kept], x[..., self.kept :]
        # the kept half is the same before and after, so both directions feed the network the same and its states agree
        hidden, state = self.gru(torch.cat([kept, condition], dim=-1), state)
        raw, shift = self.out(self.dropout(hidden)).chunk(2, dim=-1)
        log_scale = bounded(raw)
        if reverse:
            changed, log_determinant = changed * torch.exp(-log_scale) - shift, -log_scale.sum(dim=-1)
        else:
            changed, log_determinant = (changed + shift) * torch.exp(log_scale), log_scale.sum(dim=-1)
        return torch.cat([kept, changed], dim=-1), log_determinant, state


class FlowStep(nn.Module):
    """ActNorm, invertible linear map, coupling; the other way round in reverse."""

    def __init__(self, dimension: int, condition: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = ActNorm(dimension)
        self.mix = InvertibleLinear(dimension)
        self.coupling = RecurrentCoupling(dimension, condition, hidden, dropout)

    def forward(
        self, x: Tensor, condition: Tensor, state: Tensor | None, *, reverse: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D) -> y (B, T, D), log-determinant (B, T), the next state (1, B, H)."""
        if reverse:
            x, coupling, state = self.coupling(x, condition, state, reverse=True)
            x, mix = self.mix(x, reverse=True)
            x, norm = self.norm(x, reverse=True)
        else:
            x, norm = self.norm(x)
            x, mix = self.mix(x)
            x, coupling, state = self.coupling(x, condition, state)
        return x, norm + mix + coupling, state


class ConditionalFlow(nn.Module):
    """x (B, T, D) <-> noise z (B, T, D), given a condition (B, T, C) for each frame.

    The same object trains on whole sequences and samples frame by frame: hand the state it returns to the next call.
    """

    def __init__(self, dimension: int, condition: int, *, steps: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dimension = dimension
        self.steps = nn.ModuleList(FlowStep(dimension, condition, hidden, dropout) for _ in range(steps))

    def forward(
        self, x: Tensor, condition: Tensor, state: State | None = None, *, reverse: bool = False
    ) -> tuple[Tensor, Tensor, State]:
        """The z (or x when reverse) (B, T, D), the log-determinant of that direction (B, T), and the next state."""
        log_determinant = torch.zeros(x.shape[:2], device=x.device, dtype=x.dtype)
        states: State = [torch.empty(0)] * len(self.steps)
        order = range(len(self.steps))
        for k in reversed(order) if reverse else order:
            x, step, states[k] = self.steps[k](x, condition, None if state is None else state[k], reverse=reverse)
            log_determinant = log_determinant + step
        return x, log_determinant, states

    @torch.no_grad()
    def whiten(self, x: Tensor) -> None:
        """Start as the Gaussian of x (N, D): the first step turns its mean and covariance into 0 and 1.

        All further steps begin as rotations, so that the flow's first likelihood is the Gaussian's.
        """
        first = cast(FlowStep, self.steps[0])
        first.norm.initialise(x[None])
        scaled = first.norm(x[None])[0][0]
        covariance = torch.cov(scaled.T).double()
        first.mix.initialise(torch.linalg.inv(torch.linalg.cholesky(covariance)).float())

    def nll(self, x: Tensor, condition: Tensor) -> Tensor:
        """The exact negative log-likelihood (B, T) of each frame given those before it, in nats."""
        z, log_determinant, _ = self.forward(x, condition)
        return 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=-1) - log_determinant

"""Draw motion codes from a speech network, frame by frame; a long speech in pieces, equal to one pass."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from model.audio.batches import cut
from model.audio.clips import EXPRESSION_SMOOTHING, POSE_SMOOTHING, smoothed
from model.audio.features import SUBFRAMES
from model.audio.flow import ConditionalFlow, FlowStep, bounded
from model.audio.motion_code import POSE
from model.audio.network import ResidualFlow, SpeechNetwork

BLOCK_FRAMES = 500  # video frames whose sound is encoded at once


@torch.no_grad()
def sound_track(network: SpeechNetwork, mel: Tensor, fold: int | None = None) -> Tensor:
    """Return the sound track (T, S) of mel (4 T, MELS), 20 s at a time with the neighbourhood that it needs."""
    frames, margin = len(mel) // SUBFRAMES, network.regressors.reach
    pieces = []
    for first in range(0, frames, BLOCK_FRAMES):
        length = min(BLOCK_FRAMES, frames - first)
        before, after = min(margin, first), min(margin, frames - first - length)
        piece = cut(mel, SUBFRAMES * (first - before), SUBFRAMES * (before + length + after))
        pieces.append(network.track(piece[None], fold)[0, before : before + length])
    return torch.cat(pieces)


class QuickReverse:
    """A flow's reverse direction for one frame at a time, its weights laid out once; as `ConditionalFlow` reversed.

    ActNorm and the linear map of a step become one affine map, and the recurrent network a single cell.
    """

    def __init__(self, flow: ConditionalFlow) -> None:
        self.steps = [_QuickStep(cast(FlowStep, step)) for step in reversed(flow.steps)]

    def __call__(self, x: Tensor, condition: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Noise (B, D), condition (B, C), states (B, H) in order of use -> frame (B, D) and the next states."""
        states = []
        for step, hidden in zip(self.steps, state, strict=True):
            x, hidden = step(x, condition, hidden)  # noqa: PLW2901 - the state moves on
            states.append(hidden)
        return x, states

    def start(self, batch: int) -> list[Tensor]:
        """Return the states before the first frame."""
        return [torch.zeros(batch, step.hidden) for step in self.steps]


class _QuickStep:
    def __init__(self, step: FlowStep) -> None:
        dimension = len(step.norm.shift)
        unmixed = step.mix(torch.eye(dimension)[None], reverse=True)[0][0]
        self.matrix = (unmixed * torch.exp(-step.norm.log_scale)).detach()
        self.shift = -step.norm.shift.detach()
        self.kept = step.coupling.kept
        gru = step.coupling.gru
        self.hidden = gru.hidden_size
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        self.cell = [getattr(gru, name).detach() for name in names]
        self.out = step.coupling.out

    def __call__(self, x: Tensor, condition: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        kept = x[:, : self.kept]
        hidden = torch.gru_cell(torch.cat([kept, condition], dim=1), hidden, *self.cell)
        raw, shift = self.out(hidden).chunk(2, dim=1)
        changed = x[:, self.kept :] * torch.exp(-bounded(raw)) - shift
        return torch.addmm(self.shift, torch.cat([kept, changed], dim=1), self.matrix), hidden


@torch.no_grad()
def sample_residuals(flow: ResidualFlow, sound: Tensor, noise: Tensor, first: Tensor) -> Tensor:
    """Return residuals (N, T, D) of N takes from noise (N, T, D), all hearing `sound` (T, C).

    The past before the first frame is the residual `first` (N, D), held.
    """
    reverse = QuickReverse(flow.flow)
    state = reverse.start(len(noise))
    past = first[:, None].repeat(1, flow.history, 1)
    known = torch.ones(len(noise), 1, 1)
    frames = []
    for t in range(len(sound)):
        expected, condition = flow.context(sound[t].expand(len(noise), 1, -1), past[:, None], known)
        innovation, state = reverse(noise[:, t], condition[:, 0], state)
        frame = innovation + expected[:, 0]
        frames.append(frame)
        past = torch.cat([frame[:, None], past[:, :-1]], dim=1)
    return torch.stack(frames, dim=1)


@torch.no_grad()
def sample_codes(
    network: SpeechNetwork, track: Tensor, *, seed: int, temperature: float, takes: int = 1, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return expression codes (N, T, E) and pose codes (N, T, 6) of N takes of a sound track (T, S).

    `start` (E,) is the expression code before the first frame, the expected one when not given.
    The same seed gives the same takes. Expression's noise has its own, calibrated share of the temperature. Takes are
    smoothed as the motions were that the flows learned.
    """
    flows, e, frames = network.flows, network.config.components, len(track)
    articulation, lip_noise, sway = network.sampling.tolist()
    generator = torch.Generator().manual_seed(seed)
    noise = temperature * torch.randn(takes, frames, e + POSE, generator=generator)
    expected = articulation * track[:, :e]
    first = torch.zeros(e) if start is None else start - expected[0]
    expression = sample_residuals(
        flows.expression, flows.expression_sound(track[None])[0], lip_noise * noise[..., :e], first.expand(takes, -1)
    )
    pose = sample_residuals(flows.pose, flows.pose_sound(track[None])[0], noise[..., e:], torch.zeros(takes, POSE))
    return smoothed_takes(expected + expression, EXPRESSION_SMOOTHING), smoothed_takes(sway * pose, POSE_SMOOTHING)


def smoothed_takes(takes: Tensor, deviation: float) -> Tensor:
    """Return takes (N, T, D) after a Gaussian of that deviation in frames."""
    rows = takes.transpose(0, 1).flatten(1)
    return smoothed(rows, deviation).reshape(len(rows), len(takes), -1).transpose(0, 1)

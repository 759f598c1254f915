"""Draw motion codes from a speech network, frame by frame; block after block, each going on where the last ended."""

import math
from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor

from model.audio.clip import EXPRESSION_SMOOTHING, POSE_SMOOTHING, smoothed
from model.audio.flow import ConditionalFlow, FlowStep, bounded
from model.audio.hearing import Sound, sounds
from model.audio.network import ResidualFlow, SpeechNetwork
from model.audio.streams import BLOCK_FRAMES, neighbourhoods
from model.morphable.basis import POSE_SIZE

SMOOTHING_REACH = math.ceil(3 * max(EXPRESSION_SMOOTHING, POSE_SMOOTHING))


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
        """The states before the first frame."""
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


class ResidualSampler:
    """Draws residuals of N takes, block after block.

    The past before the first frame is the residual `first` (N, D), held.
    """

    def __init__(self, flow: ResidualFlow, first: Tensor) -> None:
        self.flow, self.reverse = flow, QuickReverse(flow.flow)
        self.state = self.reverse.start(len(first))
        self.past = first[:, None].repeat(1, flow.history, 1)
        self.known = torch.ones(len(first), 1, 1)

    def __call__(self, sound: Tensor, noise: Tensor) -> Tensor:
        """The next residuals (T, N, D) from noise (T, N, D), all takes hearing `sound` (T, C)."""
        frames = []
        for heard, drawn in zip(sound, noise, strict=True):
            expected, condition = self.flow.context(heard.expand(len(drawn), 1, -1), self.past[:, None], self.known)
            innovation, self.state = self.reverse(drawn, condition[:, 0], self.state)
            frame = innovation + expected[:, 0]
            frames.append(frame)
            self.past = torch.cat([frame[:, None], self.past[:, :-1]], dim=1)
        return torch.stack(frames)


@torch.no_grad()
def code_blocks(
    network: SpeechNetwork,
    heard: Iterable[Sound],
    *,
    seed: int,
    temperature: float,
    takes: int = 1,
    start: Tensor | None = None,
    ahead: int | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Expression codes (N, T, E) and pose codes (N, T, 6) of N takes for each block of what is heard.

    `start` (E,) is the expression code before the first frame, the expected one when not given.
    The same seed gives the same takes. Expression's noise has its own, calibrated share of the temperature. Takes are
    smoothed as the motions were that the flows learned; `ahead`: frames after a frame that this may see, all of
    SMOOTHING_REACH when None.
    """
    e = network.config.components
    drawn = _drawn(network, heard, seed=seed, temperature=temperature, takes=takes, start=start)
    for around, inside in neighbourhoods(drawn, SMOOTHING_REACH, ahead):
        codes = around.transpose(0, 1)
        expression = smoothed_takes(codes[..., :e], EXPRESSION_SMOOTHING, ahead)[:, inside]
        yield expression, smoothed_takes(codes[..., e:], POSE_SMOOTHING, ahead)[:, inside]


def _drawn(
    network: SpeechNetwork, heard: Iterable[Sound], *, seed: int, temperature: float, takes: int, start: Tensor | None
) -> Iterator[Tensor]:
    """Both codes, not yet smoothed, as blocks (T, N, E + 6)."""
    flows, e = network.flows, network.config.components
    articulation, lip_noise, sway = network.sampling.tolist()
    generator = torch.Generator().manual_seed(seed)
    pose_sampler = ResidualSampler(flows.pose, torch.zeros(takes, POSE_SIZE))
    expression_sampler: ResidualSampler | None = None
    for sound in heard:
        expected = articulation * sound.expected
        if expression_sampler is None:
            first = torch.zeros(e) if start is None else start - expected[0]
            expression_sampler = ResidualSampler(flows.expression, first.expand(takes, -1))
        # frame by frame, so that the numbers do not hang on how long a block is
        rows = [torch.randn(takes, e + POSE_SIZE, generator=generator) for _ in expected]
        noise = temperature * torch.stack(rows)
        expression = expression_sampler(sound.expression, lip_noise * noise[..., :e])
        pose = pose_sampler(sound.pose, noise[..., e:])
        yield torch.cat([expected[:, None] + expression, sway * pose], dim=-1)


def sample_codes(
    network: SpeechNetwork, track: Tensor, *, seed: int, temperature: float, takes: int = 1, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What `code_blocks` yields of a whole sound track (T, S): codes (N, T, E) and (N, T, 6)."""
    heard = sounds(network, track.split(BLOCK_FRAMES))
    blocks = code_blocks(network, heard, seed=seed, temperature=temperature, takes=takes, start=start)
    expression, pose = zip(*blocks, strict=True)
    return torch.cat(expression, dim=1), torch.cat(pose, dim=1)


def smoothed_takes(takes: Tensor, deviation: float, ahead: int | None = None) -> Tensor:
    """Takes (N, T, D) after a Gaussian of that deviation in frames, cut after `ahead` frames."""
    rows = takes.transpose(0, 1).flatten(1)
    return smoothed(rows, deviation, ahead).reshape(len(rows), len(takes), -1).transpose(0, 1)

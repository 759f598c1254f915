"""The speech-to-motion network: what sound determines by regression, what it leaves open by conditional flows.

A motion code x_t (expression or pose) is its expected value m_t given the sound plus a residual r_t. The residual
follows a linear autoregression whose innovation a flow models exactly, conditioned on an encoding of the sound around t
and on the last H residuals. So lips follow the sound by construction; the flow adds the life that sound does not tell.

Shapes: B batch, T frames, D dimensions of a code, H history, S channels of the sound track, C of the condition.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.audio.blinks import BlinkModel
from model.audio.config import NetworkConfig
from model.audio.features import MELS, SUBFRAMES
from model.audio.flow import ConditionalFlow
from model.audio.motion_code import MotionCode
from model.audio.regressor import DilatedBlocks, Regressor, RegressorEnsemble
from model.morphable.basis import POSE_SIZE

NAME = "audio-flow"  # of the released weights
CLOSURES = ("bilabial", "labiodental")  # sounds for which lips close, or the lower one comes up to the teeth
NEVER = -15.0  # logit
BANDS = 16  # of the coarse mel that the flows see beside the regressors' prediction


class SoundEncoder(nn.Module):
    """Sound track (B, T, S) to a condition (B, T, C) that looks `reach` frames back.

    It looks none ahead: what comes after a frame is in the regressors' prediction.
    """

    def __init__(self, track: int, channels: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.stem = nn.Conv1d(track, channels, 1)
        self.blocks = DilatedBlocks(channels, blocks, dropout, look_ahead=0)
        self.reach = self.blocks.reach

    def forward(self, track: Tensor) -> Tensor:
        """Track (B, T, S) -> condition (B, T, C)."""
        return F.gelu(self.blocks(self.stem(track.transpose(1, 2)))).transpose(1, 2)


class ResidualFlow(nn.Module):
    """p(r_t | r_{t-1} .. r_{t-H}, sound): a linear autoregression whose innovation is a conditional flow."""

    autoregression: Tensor
    blind_deviation: Tensor

    def __init__(
        self, dimension: int, condition: int, *, history: int, channels: int, steps: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.dimension, self.history = dimension, history
        self.register_buffer("autoregression", torch.zeros(history, dimension))  # weight of the frame 1, 2 .. H ago
        self.register_buffer(
            "blind_deviation", torch.ones(dimension)
        )  # of a residual whose past is hidden, to innovation's
        self.past = nn.Sequential(nn.Linear(history * dimension, channels), nn.Tanh(), nn.Dropout(dropout))
        self.flow = ConditionalFlow(dimension, condition + channels + 1, steps=steps, hidden=hidden, dropout=dropout)

    def context(self, sound: Tensor, past: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """The predicted residual (B, T, D) and the flow's condition.

        `sound` is (B, T, C), `past` (B, T, H, D) the last residuals, newest first, `known` (B, T, 1) 0 where they are
        hidden.
        """
        past = past * known[..., None]
        expected = (past * self.autoregression).sum(dim=2)
        return expected, torch.cat([sound, self.past(past.flatten(2)), known], dim=-1)

    def nll(self, residual: Tensor, sound: Tensor, past: Tensor, known: Tensor) -> Tensor:
        """The exact negative log-likelihood (B, T) in nats of residuals (B, T, D)."""
        expected, condition = self.context(sound, past, known)
        scale = known + (1 - known) * self.blind_deviation  # a frame without a past is spread wider, and so scaled
        return self.flow.nll((residual - expected) / scale, condition) + scale.log().sum(dim=-1)


def histories(residual: Tensor, history: int) -> Tensor:
    """The `history` frames before each of residual (B, T, D): (B, T, H, D), newest first, zeros at the start."""
    padded = F.pad(residual, (0, 0, history, 0))
    return padded[:, :-1].unfold(1, history, 1).flip(-1).transpose(2, 3)


def begun(frames: int, history: int) -> Tensor:
    """1 at the frames of a clip (T, 1) that have `history` frames before them, else 0: what was before is not known."""
    return (torch.arange(frames) >= history).float()[:, None]


def about(code: Tensor, track: Tensor, components: int) -> Tensor:
    """A clip's code (T, E + 6) moved so that its expression has the mean of what the sound track (T, S) expects."""
    moved = code.clone()
    moved[:, :components] += (track[:, :components] - code[:, :components]).mean(dim=0)
    return moved


class SpeechNetwork(nn.Module):
    """All that turns sound into motion, the maps to and from motions included."""

    sampling: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = c = config
        self.code = MotionCode(c.components)
        self.blinks = BlinkModel()
        self.regressors = RegressorEnsemble(
            c.members,
            c.components,
            channels=c.member_channels,
            blocks=c.member_blocks,
            dropout=c.member_dropout,
            look_ahead=c.look_ahead_frames,
        )
        self.closures = Regressor(
            len(CLOSURES), c.closure_channels, c.closure_blocks, c.member_dropout, c.closure_look_ahead_frames
        )
        nn.init.constant_(cast(Tensor, self.closures.out.bias), NEVER)  # until it is trained
        self.flows = Flows(c)
        # factors on the expected expression, which a regression underestimates, on expression's noise, and on pose
        self.register_buffer("sampling", torch.tensor([1.0, 1.0, 1.0]))

    def track(self, mel: Tensor, fold: int | None = None) -> Tensor:
        """Mel (B, 4 T, MELS) -> sound track (B, T, S): the expected expression code, then coarse mel."""
        bands = mel.reshape(len(mel), -1, SUBFRAMES, BANDS, MELS // BANDS).mean(dim=(2, 4))
        return torch.cat([self.regressors(mel, fold), bands], dim=-1)


class Flows(nn.Module):
    """The two residual flows and their sound encoders; expression and pose apart, so that a head can be held still."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c = config
        track = c.components + BANDS
        self.components = c.components
        self.expression_sound = SoundEncoder(track, c.condition_channels, c.condition_blocks, c.flow_dropout)
        self.pose_sound = SoundEncoder(track, c.condition_channels, c.condition_blocks, c.flow_dropout)
        self.expression = ResidualFlow(
            c.components,
            c.condition_channels,
            history=c.history_frames,
            channels=c.history_channels,
            steps=c.expression_steps,
            hidden=c.expression_hidden,
            dropout=c.flow_dropout,
        )
        self.pose = ResidualFlow(
            POSE_SIZE,
            c.condition_channels,
            history=c.history_frames,
            channels=c.history_channels,
            steps=c.pose_steps,
            hidden=c.pose_hidden,
            dropout=c.flow_dropout,
        )
        self.reach = self.expression_sound.reach  # frames of the sound track before a frame that its condition sees

    def nll(
        self, track: Tensor, code: Tensor, past: Tensor, known: Tensor, *, margin: int = 0
    ) -> tuple[Tensor, Tensor]:
        """The NLL (B, T) of expression and of pose, in nats.

        `track` (B, T + 2 margin, S), `code` (B, T, E + 6) expression then pose, `past` (B, T, H, E + 6) of residuals
        and `known` (B, T, 1) as `ResidualFlow` has them.
        """
        e, frames = self.components, slice(margin, margin + code.shape[1])
        residual = code[..., :e] - track[:, frames, :e]
        expression = self.expression.nll(residual, self.expression_sound(track)[:, frames], past[..., :e], known)
        pose = self.pose.nll(code[..., e:], self.pose_sound(track)[:, frames], past[..., e:], known)
        return expression, pose

"""What the flows model: a motion as its difference from the clip's mean, compressed and whitened.

The mean of a clip says who speaks and in what mood; what speech adds to it is common to people. Expression is projected
on the principal axes of that difference under a metric that counts the lips most, since they are what speech must move.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model.audio.clip import LARGEST_STYLE, SMALLEST_STYLE, SpeechClip, balanced
from model.morphable import MorphableModel
from model.morphable.basis import EXPRESSION, EXPRESSION_SIZE, POINTS, POSE, POSE_SIZE

LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    *(185, 40, 39, 37, 0, 267, 269, 270, 409, 415, 310, 311, 312, 13, 82, 81, 42, 183, 78, 80, 191),
)  # MediaPipe's numbering: outer and inner contour
LIP_WEIGHT, DEPTH_WEIGHT = 4.0, 0.3  # a lip point counts as four others; z is rough
LONG_FRAMES, SWAY_FRAMES = 50, 100
STYLE_COMPONENTS = 8  # the first components, nearly all lips and jaw, tell how strongly someone articulates


def sways(clip: SpeechClip) -> bool:
    """Whether a clip lasts long enough to show how a head moves: it turns slowly, and in a second hardly at all."""
    return clip.frames >= SWAY_FRAMES


class MotionCode(nn.Module):
    """Linear maps between motions (T, 70) and codes: expression (T, E) and pose (T, 6), about unit variance each."""

    encoder: Tensor
    decoder: Tensor
    importance: Tensor
    pose_deviation: Tensor
    mean_prior: Tensor
    mean_gain: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        self.register_buffer("encoder", torch.zeros(EXPRESSION_SIZE, components))
        self.register_buffer("decoder", torch.zeros(components, EXPRESSION_SIZE))
        self.register_buffer("importance", torch.ones(components))  # share of lip-weighted motion, mean 1
        self.register_buffer("pose_deviation", torch.ones(POSE_SIZE))
        self.register_buffer("mean_prior", torch.zeros(EXPRESSION_SIZE))
        self.register_buffer("mean_gain", torch.eye(EXPRESSION_SIZE))

    @torch.no_grad()
    def fit(self, clips: Sequence[SpeechClip], model: MorphableModel) -> None:
        """Set the maps from training clips, each as much as it is drawn in training."""
        share = (balanced(clips) + 1e-6).double()
        weights = torch.cat([(part / clip.frames).expand(clip.frames) for clip, part in zip(clips, share, strict=True)])
        weights = weights / weights.sum()
        motions = [clip.motion.double() for clip in clips]
        moved = torch.cat([motion - motion.mean(dim=0) for motion in motions])
        expression, pose = moved[:, EXPRESSION], moved[:, POSE]
        points = torch.ones(POINTS, 3, dtype=torch.float64)
        points[list(LIPS)] = LIP_WEIGHT
        points[:, 2] *= DEPTH_WEIGHT
        basis = model.expression_basis.double()
        metric = (basis * points.flatten()) @ basis.T
        root = torch.linalg.cholesky(metric + 1e-9 * metric.trace() * torch.eye(EXPRESSION_SIZE, dtype=torch.float64))
        within = (expression * weights[:, None]).T @ expression
        variance, axes = torch.linalg.eigh(root.T @ within @ root)
        components = self.encoder.shape[1]
        variance, axes = variance.flip(0)[:components].clamp(min=1e-12), axes.flip(1)[:, :components]
        axes = axes * axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)).sign()  # signs do not hang on the library
        self.encoder.copy_(root @ axes / variance.sqrt())
        self.decoder.copy_(variance.sqrt()[:, None] * (axes.T @ torch.linalg.inv(root)))
        self.importance.copy_(variance.sqrt() / variance.sqrt().mean())
        # clips where the camera moves would set the scale for all: outliers are cut before it is measured
        limit = torch.quantile(pose.abs(), 0.98, dim=0)
        turning = weights * torch.cat([torch.full((clip.frames,), float(sways(clip))) for clip in clips])
        turning = turning / turning.sum() if turning.any() else weights
        self.pose_deviation.copy_((pose.clamp(-limit, limit).square() * turning[:, None]).sum(dim=0).sqrt())
        # the mean of a second tells more of the words in it than of who speaks
        long = [number for number, clip in enumerate(clips) if clip.frames >= LONG_FRAMES] or list(range(len(clips)))
        means = torch.stack([motions[number][:, EXPRESSION].mean(dim=0) for number in long])
        self.mean_prior.copy_((means * (share[long] / share[long].sum())[:, None]).sum(dim=0))
        between = torch.cov(means.T, aweights=share[long]) + 1e-3 * torch.eye(EXPRESSION_SIZE, dtype=torch.float64)
        self.mean_gain.copy_(torch.linalg.solve(between + within, between).T)

    def expression(self, clip: SpeechClip) -> Tensor:
        """A clip's expression code (T, E), divided by its style."""
        code = self.raw_expression(clip)
        return code / self.style(code)

    def raw_expression(self, clip: SpeechClip) -> Tensor:
        """A clip's expression code (T, E) at its own strength."""
        expression = clip.motion[:, EXPRESSION]
        return (expression - expression.mean(dim=0)) @ self.encoder

    @staticmethod
    def style(code: Tensor) -> Tensor:
        """How strongly the speaker of code (T, E) articulates, 1 being usual: a scalar."""
        return code[:, :STYLE_COMPONENTS].square().mean().sqrt().clamp(SMALLEST_STYLE, LARGEST_STYLE)

    def pose(self, clip: SpeechClip) -> Tensor:
        """A clip's pose code (T, 6)."""
        pose = clip.motion[:, POSE]
        return (pose - pose.mean(dim=0)) / self.pose_deviation

    def both(self, clip: SpeechClip) -> Tensor:
        """A clip's codes of expression and pose, side by side (T, E + 6)."""
        return torch.cat([self.expression(clip), self.pose(clip)], dim=1)

    def speaking_mean(self, expression: Tensor) -> Tensor:
        """The likely mean (64,) of what a face does in speech, from its expression (64,) at one moment.

        The posterior mean under Gaussians between and within clips: mood is kept, an open mouth mostly is not.
        """
        return self.mean_prior + self.mean_gain @ (expression - self.mean_prior)

"""The morphable model "open478": 478 landmarks from identity, expression and pose.

The shape is S = S_mean + B_id a + B_exp b (Ren et al., "PIRenderer", ICCV 2021, section 3.1; after Blanz and Vetter, "A
morphable model for the synthesis of 3D faces", SIGGRAPH 1999). The landmarks, in crop units, are
L = (128, 128, 0) + 128 (exp(log_scale) R S + (x, y, 0)).

A motion is a vector of 70: expression b (64, unit variance over the corpus), yaw, pitch, roll (radians), log_scale,
x, y (in half sides of the crop, x right, y down). It says nothing of who the person is: that is a (80).
"""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from model.errors import MotionSpaceError
from model.face.crop import CROP_UNITS
from model.morphable.pose import rotation_angles, rotation_matrix, similarity
from model.weights.files import load_into, load_weights

MOTION_SPACE = "open478"
MOTION_FPS = 25  # the space's rate; jobs.motions says it to those who load no model
POINTS, IDENTITY, MOTION = 478, 80, 70
EXPRESSION_SIZE, POSE_SIZE = 64, 6  # of a motion, one after the other
TURNING = 16
EXPRESSION, POSE = slice(0, 64), slice(64, 70)
ANGLES, LOG_SCALE, OFFSET = slice(64, 67), 67, slice(68, 70)  # yaw, pitch, roll; x, y: the pose
HALF_CROP = CROP_UNITS / 2


class Fit(NamedTuple):
    """Identity (B, 80), motion (B, 70) and mean reconstruction error (B,) in crop units (x and y)."""

    identity: Tensor
    motion: Tensor
    error_px: Tensor


class MorphableModel(nn.Module):
    """Bases as buffers; `landmarks` goes from coefficients to points, `fit` back."""

    mean: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    turning_basis: Tensor
    pose_weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(POINTS, 3))
        self.register_buffer("identity_basis", torch.zeros(IDENTITY, POINTS * 3))  # rows scaled to unit variance
        self.register_buffer("expression_basis", torch.zeros(EXPRESSION_SIZE, POINTS * 3))
        # What the landmarks of a turned head add, being 2D estimates with rough depth. `fit` explains it by these
        # coefficients and drops them: otherwise turning would pass for an expression.
        self.register_buffer("turning_basis", torch.zeros(TURNING, POINTS * 3))
        self.register_buffer("pose_weights", torch.ones(POINTS))  # how little a point moves with expression

    @classmethod
    def load(cls, directory: Path | None = None) -> Self:
        """Load the released model, or the one in `directory`."""
        state, _ = load_weights(MOTION_SPACE, directory)
        model = cls()
        load_into(model, state, MOTION_SPACE)
        return model

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """Shapes (B, 478, 3) without pose, in half sides of the crop, of identity (B, 80) and expression (B, 64)."""
        flat = identity @ self.identity_basis + expression @ self.expression_basis
        return self.mean + flat.unflatten(-1, (POINTS, 3))

    def landmarks(self, identity: Tensor, motion: Tensor) -> Tensor:
        """Landmarks (B, 478, 3) in crop units of identity (B, 80) and motion (B, 70).

        Raises MotionSpaceError: the motion has not 70 numbers.
        """
        if motion.shape[-1] != MOTION:
            raise MotionSpaceError(f"motion has {motion.shape[-1]} numbers a frame; {MOTION_SPACE} has {MOTION}")
        posed = self.shape(identity, motion[..., EXPRESSION]) @ rotation_matrix(motion[..., ANGLES]).transpose(-1, -2)
        scaled = posed * motion[..., LOG_SCALE, None, None].exp()
        offset = torch.nn.functional.pad(motion[..., OFFSET], (0, 1)).unsqueeze(-2)
        centre = scaled.new_tensor([HALF_CROP, HALF_CROP, 0.0])
        return HALF_CROP * (scaled + offset) + centre

    def move(self, landmarks: Tensor, identity: Tensor, own: Tensor, motions: Tensor) -> Tensor:
        """Where a person's `landmarks` (478, 3), in the motion `own` (70,), come to lie under motions (B, 70).

        Returns (B, 478, 3). Only the displacement is the model's, so that what it does not explain of the landmarks
        stays. identity is (1, 80).
        """
        modelled = self.landmarks(identity, torch.cat([own[None], motions]))
        return landmarks + modelled[1:] - modelled[:1]

    @torch.no_grad()
    def fit(
        self, landmarks: Tensor, identity: Tensor | None = None, *, iterations: int = 4, noise_px: float = 1.0
    ) -> Fit:
        """Identity and motion of landmarks (B, 478, 3) in crop units.

        Pose in closed form and the coefficients by ridge regression take turns; the ridge is the Gaussian prior of
        unit-variance coefficients under landmark noise of `noise_px` (standard deviation; 1 px suits a network's
        landmarks). With `identity` (B, 80) or (1, 80) given, as for further frames of a person, only motion is fitted.
        """
        points = (landmarks.float() - landmarks.new_tensor([HALF_CROP, HALF_CROP, 0.0])) / HALF_CROP
        batch = points.shape[0]
        moving = torch.cat([self.turning_basis, self.expression_basis])
        basis = moving if identity is not None else torch.cat([self.identity_basis, moving])
        # z is rough in the landmarks a network gives: half the weight of x and y.
        weight = basis.new_tensor([1.0, 1.0, 0.5]).repeat(POINTS)
        ridge = (noise_px / HALF_CROP) ** 2
        normal = (basis * weight) @ basis.T + ridge * torch.eye(len(basis), device=basis.device)
        solve = torch.linalg.solve(normal, basis * weight)  # (coefficients, 478 * 3)
        known = self.mean
        if identity is not None:
            known = self.shape(identity, identity.new_zeros(len(identity), EXPRESSION_SIZE))
        known = known.expand(batch, POINTS, 3)
        shape = known
        for _ in range(iterations):
            scale, rotation, translation = similarity(shape, points, self.pose_weights)
            unposed = ((points - translation.unsqueeze(-2)) @ rotation) / scale[:, None, None]
            coefficients = (unposed - known).flatten(1) @ solve.T
            shape = known + (coefficients @ basis).unflatten(-1, (POINTS, 3))
        scale, rotation, translation = similarity(shape, points, self.pose_weights)
        found = identity.expand(batch, -1) if identity is not None else coefficients[:, :IDENTITY]
        motion = torch.cat(
            [
                coefficients[:, -EXPRESSION_SIZE:],
                rotation_angles(rotation),
                scale.log().unsqueeze(-1),
                translation[:, :2],
            ],
            -1,
        )
        error = (self.landmarks(found, motion)[..., :2] - landmarks[..., :2]).norm(dim=-1).mean(-1)
        return Fit(found, motion, error)

    def fit_clip(self, landmarks: Tensor, *, frames_for_identity: int = 60) -> Fit:
        """Fit (T, 478, 3) of one person: one identity, the mean over frames spread through the clip, then motions."""
        step = max(1, len(landmarks) // frames_for_identity)
        identity = self.fit(landmarks[::step]).identity.mean(0, keepdim=True)
        return self.fit(landmarks, identity)

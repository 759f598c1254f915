"""The morphable model: bases, pose, fitting to landmarks, named controls."""

from model.morphable.basis import MOTION_SPACE, Fit, MorphableModel

__all__ = ["MOTION_SPACE", "Fit", "MorphableModel"]

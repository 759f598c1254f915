"""Sound as another voice, room, microphone or line might have given it, its lips as they were."""

from model.training.audio.sounds.augmentation import augmented
from model.training.audio.sounds.tempo import faster, resampled_track

__all__ = ["augmented", "faster", "resampled_track"]

"""What uploads may be where nothing is set."""

from worker.settings import WorkerSettings

IMAGE_LIMITS = WorkerSettings().image_limits
SOUND_LIMITS = WorkerSettings().audio_limits
VIDEO_LIMITS = WorkerSettings().video_limits

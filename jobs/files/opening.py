"""The artifact store that the settings name."""

from jobs.files.artifacts import ArtifactStore
from jobs.files.bucket import BucketArtifacts
from jobs.files.folder import FolderArtifacts
from jobs.settings import SharedSettings


def make_artifacts(settings: SharedSettings) -> ArtifactStore:
    """A bucket, or the data folder. Raises InvalidArtifactStoreError."""
    if settings.s3_bucket:
        return BucketArtifacts(settings)
    return FolderArtifacts(settings.artifacts_dir)

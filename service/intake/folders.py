"""The folders of jobs and portraits in the artifact store, as requests and housekeeping make and remove them."""

import structlog

from jobs.files.artifacts import ArtifactsAwayError
from jobs.problems import ProblemType
from service.context import Context
from service.http.problems import ProblemError

log = structlog.get_logger(__name__)


def create_folder(context: Context, job_id: str) -> None:
    """Make the folder of a new job or portrait. Raises ProblemError (507), ArtifactsAwayError."""
    try:
        context.artifacts.create_folder(job_id)
    except OSError as error:
        raise ProblemError(ProblemType.STORAGE_FULL, f"the upload cannot be stored: {error.strerror}") from error


def remove_folder(context: Context, job_id: str) -> None:
    """Remove the folder of what was not made, or is no more. While the store is away it stays, until it is swept."""
    try:
        context.artifacts.delete_folder(job_id)
    except ArtifactsAwayError as error:
        log.warning("files could not be removed; they will be swept", job_id=job_id, error=str(error))

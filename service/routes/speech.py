"""/v1/jobs/{id}/speech: the sound that a video speaks with, be it sent or made of a text."""

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from jobs.media_types import AUDIO_TYPES
from jobs.problems import ProblemType
from jobs.schemas import JobStatus, VideoSpec
from service.context import ContextDep
from service.http.problems import ProblemError
from service.routes.answers import file_responses, send_input
from service.routes.jobs import JobDep

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

RESPONSES = file_responses("speech", AUDIO_TYPES)


@router.head("/{job_id}/speech", name="head_speech", response_class=FileResponse, responses=RESPONSES)
@router.get("/{job_id}/speech", response_class=FileResponse, responses=RESPONSES)
def fetch_speech(request: Request, record: JobDep, context: ContextDep) -> Response:
    """The sound of a video made from `audio` or `text`, from the moment that the job is there until it expires."""
    spec = record.spec
    if spec is None or record.status is JobStatus.EXPIRED:
        raise ProblemError(ProblemType.JOB_EXPIRED, f"job {record.id} expired at {record.expires_at}")
    if not isinstance(spec, VideoSpec) or spec.audio is None:
        raise ProblemError(ProblemType.NOT_FOUND, f"job {record.id} was made without speech, so there is none")
    return send_input(request, context, spec.audio, name=f"{record.id}-speech")

"""POST /v1/motions: the motion of an image or a video."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.media_types import IMAGE_TYPES, IMAGES, VIDEO_TYPES, VIDEOS, listed
from jobs.schemas import Job, JobKind, MotionOptions, MotionSpec
from service.context import Context, ContextDep, WriterDep
from service.http.examples import REQUESTS
from service.http.openapi import CREATE_RESPONSES
from service.intake.forms import TERMS, FileField, Form, Shape, options_field, parse_options
from service.intake.submissions import Build, Submission, submit

router = APIRouter(tags=["create"])

FORM = Shape(
    "Motion",
    {
        "source": FileField(
            lambda settings: settings.max_video_bytes,
            IMAGE_TYPES + VIDEO_TYPES,
            f"an image ({listed(IMAGES)}) or a video ({listed(VIDEOS)})",
        ),
        "options": options_field(MotionOptions),
        **TERMS,
    },
    exactly_one=(("source",),),
    examples=REQUESTS["motions"],
)


def _read(_: Context, form: Form) -> Build:
    options = parse_options(form, MotionOptions)
    return lambda files: MotionSpec(source=files["source"], options=options)


MOTION = Submission(JobKind.MOTION, FORM, _read)


@router.post(
    "/v1/motions", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=MOTION.operation
)
async def create_motion(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Extract coefficients; the result is JSON that can be sent back as a motion, or a ZIP of it and its overlay."""
    return await submit(context, request, caller, MOTION)

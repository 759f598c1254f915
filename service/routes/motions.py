"""POST /v1/motions: the motion of an image or a video."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.media_types import IMAGE_TYPES, IMAGES, VIDEO_TYPES, VIDEOS, listed
from jobs.schemas import Job, JobKind, MotionOptions, MotionSpec
from service.context import Context, ContextDep, WriterDep
from service.http.openapi import CREATE_RESPONSES, form_body
from service.intake.submissions import Submission, parse_options, require_fields, submit
from service.intake.uploads import Fields, FileField, Form, TextField

router = APIRouter(tags=["create"])

BODY = form_body(
    ["source"],
    source=f"file: an image ({listed(IMAGES)}) or a video ({listed(VIDEOS)})",
    options="MotionOptions",
    webhook="Webhook",
    deadline="seconds: a job that has not begun after so long fails",
)


def _build(context: Context, form: Form) -> MotionSpec:
    require_fields(form, "source")
    options = parse_options(form, MotionOptions)
    return MotionSpec(source=form.files["source"], options=options)


@router.post("/v1/motions", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=BODY)
async def create_motion(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Extract coefficients; the result is JSON that can be sent back as a motion, or a ZIP of it and its overlay."""
    settings = context.settings
    fields: Fields = {
        "source": FileField(settings.max_video_bytes, IMAGE_TYPES + VIDEO_TYPES),
        "options": TextField(settings.max_options_bytes),
    }
    models = ("morphable", "extractor")
    return await submit(context, request, caller, Submission(JobKind.MOTION, fields, models, _build))

"""POST /v1/videos: a portrait, animated by a motion, by speech or by another video, or by these two together."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.media_types import AUDIO_TYPES, IMAGE_TYPES, IMAGES, SOUNDS, VIDEO_TYPES, VIDEOS, listed
from jobs.schemas import Job, JobKind, VideoOptions, VideoSpec
from service.context import Context, ContextDep, WriterDep
from service.http.openapi import CREATE_RESPONSES, form_body
from service.intake.motions import check_motion_file, parse_motion
from service.intake.submissions import Submission, parse_options, require_fields, require_models, submit
from service.intake.uploads import MAX_ID_BYTES, DocumentField, Fields, FileField, Form, TextField

router = APIRouter(tags=["create"])

BODY = form_body(
    ["portrait", "portrait_id"],
    ["motion", ("audio", "driving")],
    portrait=f"file: the photo: {listed(IMAGES)}",
    portrait_id="id: instead of portrait, the id of one uploaded before",
    audio=f"file: speech: {listed(SOUNDS)}, or a video with sound",
    motion="Motion",
    driving=f"file: a video whose motion is taken: {listed(VIDEOS)}; with audio, for head, eyes and brows alone",
    options="VideoOptions",
    webhook="Webhook",
    deadline="seconds: a job that has not begun after so long fails",
)


def _build(context: Context, form: Form) -> VideoSpec:
    driver = require_fields(form, "portrait", "motion", ("audio", "driving"))
    if driver == "audio":
        require_models(context, ["audio"])
    options = parse_options(form, VideoOptions)
    motion = None
    if "motion" in form.texts:
        motion = parse_motion(form.texts["motion"].encode(), context.catalogue.spaces, moving=True)
    return VideoSpec(
        portrait=form.files["portrait"],
        audio=form.files.get("audio"),
        motion=motion,
        motion_file=form.files.get("motion"),
        driving=form.files.get("driving"),
        options=options,
    )


@router.post("/v1/videos", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=BODY)
async def create_video(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Let a portrait speak, move through a sequence or keyframes, or move as another video does."""
    settings, spaces = context.settings, context.catalogue.spaces
    fields: Fields = {
        "portrait": FileField(settings.max_portrait_bytes, IMAGE_TYPES),
        "portrait_id": TextField(MAX_ID_BYTES),
        "audio": FileField(settings.max_audio_bytes, AUDIO_TYPES),
        "motion": DocumentField(settings.max_motion_bytes, lambda path: check_motion_file(path, spaces)),
        "driving": FileField(settings.max_video_bytes, VIDEO_TYPES),
        "options": TextField(settings.max_options_bytes),
    }
    models = ("morphable", "extractor", "skinning", "renderer")
    return await submit(context, request, caller, Submission(JobKind.VIDEO, fields, models, _build))

"""POST /v1/videos: a portrait, animated by speech, by another video or by a motion, or by several of them."""

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.kinds import SPEECH_MODEL
from jobs.media_types import AUDIO_TYPES, SOUNDS, VIDEO_TYPES, VIDEOS, listed
from jobs.motion_spaces import check_beside_driver, checked_beside, checked_moving
from jobs.schemas import Job, JobKind, VideoOptions, VideoSpec
from service.context import Context, ContextDep, WriterDep
from service.http.examples import REQUESTS
from service.http.openapi import CREATE_RESPONSES
from service.intake.forms import (
    ONE_PORTRAIT,
    PORTRAIT,
    TERMS,
    DocumentField,
    FileField,
    Form,
    Shape,
    TextField,
    options_field,
    parse_options,
)
from service.intake.motions import check_motion_file, parse_motion
from service.intake.submissions import Build, Submission, require_models, submit
from service.settings import MAX_VOICE_CHARACTERS

router = APIRouter(tags=["create"])

FORM = Shape(
    "Video",
    {
        **PORTRAIT,
        "audio": FileField(
            lambda settings: settings.max_audio_bytes, AUDIO_TYPES, f"speech: {listed(SOUNDS)}, or a video with sound"
        ),
        "text": TextField(
            lambda settings: 4 * settings.max_text_characters,
            {"type": "string", "minLength": 1, "description": "instead of audio, what is to be said"},
        ),
        "voice": TextField(
            lambda _: 4 * MAX_VOICE_CHARACTERS,
            {"type": "string", "minLength": 1, "description": "who says the text, one of /v1/voices"},
        ),
        "motion": DocumentField(lambda settings: settings.max_motion_bytes, "Motion", check_motion_file),
        "driving": FileField(
            lambda settings: settings.max_video_bytes,
            VIDEO_TYPES,
            f"a video whose motion is taken: {listed(VIDEOS)}; with audio, for head, eyes and brows alone",
        ),
        "options": options_field(VideoOptions),
        **TERMS,
    },
    exactly_one=(ONE_PORTRAIT,),
    at_least_one=("motion", "audio", "text", "driving"),
    apart=(("audio", "text"),),
    needs=(("voice", "text"),),
    examples=REQUESTS["videos"],
)


def _read(context: Context, form: Form) -> Build:
    spoken, driven = not form.sent.isdisjoint(("audio", "text")), "driving" in form.sent
    if spoken:  # which other videos are not, so it is not known before the form is
        require_models(context, SPEECH_MODEL)
    options = parse_options(form, VideoOptions)
    motion = None
    if "motion" in form.texts:
        check = partial(checked_beside, driven=driven) if spoken or driven else checked_moving
        motion = parse_motion(form.texts["motion"].encode(), context.catalogue.spaces, check)
    elif "motion" in form.files and driven:
        check_beside_driver(form.found["motion"])
    return lambda files: VideoSpec(
        portrait=files["portrait"],
        audio=files.get("audio"),
        motion=motion,
        motion_file=files.get("motion"),
        driving=files.get("driving"),
        text=form.texts.get("text"),
        voice=form.texts.get("voice"),
        options=options,
    )


VIDEO = Submission(JobKind.VIDEO, FORM, _read)


@router.post(
    "/v1/videos", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=VIDEO.operation
)
async def create_video(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Let a portrait speak, move as another video does, or through a sequence or keyframes.

    Beside speech or another video, controls and keyframes are put on top of what these do.
    """
    return await submit(context, request, caller, VIDEO)

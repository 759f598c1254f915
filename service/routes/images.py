"""POST /v1/images: a portrait, re-posed."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.media_types import IMAGE_TYPES
from jobs.motion_spaces import checked_still
from jobs.schemas import MAX_MOTIONS, ImageOptions, ImageSpec, Job, JobKind, MotionsFile
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
    options_field,
    parse_options,
)
from service.intake.motions import check_motions_file, parse_motion, parse_motions
from service.intake.submissions import Build, Submission, submit

router = APIRouter(tags=["create"])

MAX_STILL_BYTES = 64 * 1024  # of a still motion, which has 512 numbers at most

FORM = Shape(
    "Image",
    {
        **PORTRAIT,
        "motion": DocumentField(lambda settings: min(settings.max_motion_bytes, MAX_STILL_BYTES), "Motion"),
        "motions": DocumentField(
            lambda settings: min(settings.max_motion_bytes, MAX_MOTIONS * MAX_STILL_BYTES),
            "Motions",
            check_motions_file,
        ),
        "driving": FileField(
            lambda settings: settings.max_portrait_bytes,
            IMAGE_TYPES,
            "instead of motion, an image whose pose and expression are taken",
        ),
        "options": options_field(ImageOptions),
        **TERMS,
    },
    exactly_one=(ONE_PORTRAIT, ("motion", "motions", "driving")),
    examples=REQUESTS["images"],
)


def _read(context: Context, form: Form) -> Build:
    options = parse_options(form, ImageOptions)
    spaces = context.catalogue.spaces
    motion = motions = motions_file = None
    if "motion" in form.texts:
        motion = parse_motion(form.texts["motion"].encode(), spaces, checked_still)
    elif "motions" in form.texts:
        motions = parse_motions(form.texts["motions"].encode(), spaces)
    elif "motions" in form.files:
        motions_file = MotionsFile(**form.files["motions"].model_dump(), count=form.found["motions"])
    return lambda files: ImageSpec(
        portrait=files["portrait"],
        motion=motion,
        motions=motions,
        motions_file=motions_file,
        driving=files.get("driving"),
        options=options,
    )


IMAGE = Submission(JobKind.IMAGE, FORM, _read)


@router.post(
    "/v1/images", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=IMAGE.operation
)
async def create_image(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Re-pose a portrait by named controls, by coefficients, or as another image shows.

    With `motions`, a list of them, the result is a ZIP of one image for each, in their order.
    """
    return await submit(context, request, caller, IMAGE)

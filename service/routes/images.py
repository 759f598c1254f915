"""POST /v1/images: a portrait, re-posed."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from jobs.media_types import IMAGE_TYPES, IMAGES, listed
from jobs.schemas import MAX_MOTIONS, ImageOptions, ImageSpec, Job, JobKind, MotionsFile
from service.context import Context, ContextDep, WriterDep
from service.http.openapi import CREATE_RESPONSES, form_body
from service.intake.motions import check_motions_file, parse_motion, parse_motions
from service.intake.submissions import Submission, parse_options, require_fields, submit
from service.intake.uploads import MAX_ID_BYTES, DocumentField, Fields, FileField, Form, TextField

router = APIRouter(tags=["create"])

MAX_STILL_BYTES = 64 * 1024  # of a still motion, which has 512 numbers at most

BODY = form_body(
    ["portrait", "portrait_id"],
    ["motion", "motions", "driving"],
    portrait=f"file: the photo: {listed(IMAGES)}",
    portrait_id="id: instead of portrait, the id of one uploaded before",
    motion="Motion",
    motions="Motions",
    driving="file: instead of motion, an image whose pose and expression are taken",
    options="ImageOptions",
    webhook="Webhook",
    deadline="seconds: a job that has not begun after so long fails",
)


def _build(context: Context, form: Form) -> ImageSpec:
    driver = require_fields(form, "portrait", "motion", "motions", "driving")
    options = parse_options(form, ImageOptions)
    spaces = context.catalogue.spaces
    motion = parse_motion(form.texts["motion"].encode(), spaces, moving=False) if driver == "motion" else None
    motions = motions_file = None
    if "motions" in form.texts:
        motions = parse_motions(form.texts["motions"].encode(), spaces)
    elif "motions" in form.files:
        motions_file = MotionsFile(**form.files["motions"].model_dump(), count=form.counts["motions"])
    return ImageSpec(
        portrait=form.files["portrait"],
        motion=motion,
        motions=motions,
        motions_file=motions_file,
        driving=form.files.get("driving"),
        options=options,
    )


@router.post("/v1/images", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=BODY)
async def create_image(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Re-pose a portrait by named controls, by coefficients, or as another image shows.

    With `motions`, a list of them, the result is a ZIP of one image for each, in their order.
    """
    settings = context.settings
    spaces = context.catalogue.spaces
    image = FileField(settings.max_portrait_bytes, IMAGE_TYPES)
    fields: Fields = {
        "portrait": image,
        "portrait_id": TextField(MAX_ID_BYTES),
        "motion": TextField(min(settings.max_motion_bytes, MAX_STILL_BYTES)),
        "motions": DocumentField(
            min(settings.max_motion_bytes, MAX_MOTIONS * MAX_STILL_BYTES), lambda path: check_motions_file(path, spaces)
        ),
        "driving": image,
        "options": TextField(settings.max_options_bytes),
    }
    models = ("morphable", "extractor", "skinning", "renderer")
    return await submit(context, request, caller, Submission(JobKind.IMAGE, fields, models, _build))

"""POST /v1/images: a portrait, re-posed."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from service.context import Context, ContextDep, WriterDep
from service.jobs.schemas import ImageOptions, ImageSpec, Job, JobKind
from service.media import IMAGE_TYPES, check_image
from service.motion_checks import parse_motion
from service.openapi import CREATE_RESPONSES, form_body
from service.submissions import Submission, parse_options, require_fields, submit
from service.uploads import Fields, FileField, Form, TextField

router = APIRouter(tags=["create"])

BODY = form_body(
    ["portrait"],
    portrait="file: the photo: JPEG, PNG or WebP",
    motion="Motion",
    driving="file: instead of motion, an image whose pose and expression are taken",
    options="ImageOptions",
)


def _build(context: Context, form: Form) -> ImageSpec:
    settings = context.settings
    driver = require_fields(form, "portrait", "motion", "driving")
    options = parse_options(form, ImageOptions)
    motion = parse_motion(form.texts["motion"], context.catalogue.spaces, moving=False) if driver == "motion" else None
    for name, file in form.files.items():
        check_image(name, context.artifacts.path(file.key), max_pixels=settings.max_pixels)
    return ImageSpec(portrait=form.files["portrait"], motion=motion, driving=form.files.get("driving"), options=options)


@router.post("/v1/images", status_code=202, response_model=Job, responses=CREATE_RESPONSES, openapi_extra=BODY)
async def create_image(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Re-pose a portrait by named controls, by coefficients, or as another image shows."""
    settings = context.settings
    image = FileField(settings.max_portrait_bytes, IMAGE_TYPES)
    fields: Fields = {
        "portrait": image,
        "motion": TextField(settings.max_motion_bytes),
        "driving": image,
        "options": TextField(settings.max_options_bytes),
    }
    models = ("morphable", "extractor", "renderer")
    return await submit(context, request, caller, Submission(JobKind.IMAGE, fields, models, _build))

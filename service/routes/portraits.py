"""/v1/portraits: a photo uploaded once, for many jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from jobs.files.keys import ID, new_id
from jobs.media_types import IMAGE_TYPES
from jobs.problems import ProblemType
from service.access.control import owned
from service.access.throttle import Caller
from service.context import Context, ContextDep, ReaderDep, WriterDep
from service.http.addresses import page_links
from service.http.examples import REQUESTS
from service.http.openapi import CREATE_RESPONSES, Responses, access_responses
from service.intake.admission import allowance, bounded, form_under_way
from service.intake.completion import complete
from service.intake.folders import create_folder, remove_folder
from service.intake.forms import PHOTO, Form, Shape
from service.intake.headers import REQUEST_ID_PARAMETER
from service.intake.uploads import read_form
from service.routes.answers import file_responses, send_input
from service.stores.portraits import Portrait, PortraitRecord, TooManyPortraitsError

router = APIRouter(prefix="/v1/portraits", tags=["portraits"])

FORM = Shape("Portrait", {"portrait": PHOTO}, exactly_one=(("portrait",),), examples=REQUESTS["portraits"])
CREATED: Responses = {
    201: {"description": "The portrait"},
    **{status: CREATE_RESPONSES[status] for status in (400, 401, 403, 408, 413, 415, 422, 429, 503, 507)},
}
NO_PORTRAIT = access_responses(s404="No such portrait")
FILE_RESPONSES = file_responses("photo", IMAGE_TYPES, besides=NO_PORTRAIT)


class PortraitPage(BaseModel):
    """Some of the caller's portraits, newest first; `next_cursor` asks for the ones before."""

    portraits: list[Portrait]
    next_cursor: str | None


def _find(portrait_id: str, context: Context, caller: Caller) -> PortraitRecord:
    record = context.portraits.get(portrait_id) if ID.fullmatch(portrait_id) else None
    return owned(record, "portrait", portrait_id, caller)


def readable_portrait(portrait_id: str, context: ContextDep, caller: ReaderDep) -> PortraitRecord:
    """The caller's portrait, to look at."""
    return _find(portrait_id, context, caller)


def writable_portrait(portrait_id: str, context: ContextDep, caller: WriterDep) -> PortraitRecord:
    """The caller's portrait, to remove."""
    return _find(portrait_id, context, caller)


@router.post(
    "",
    status_code=201,
    response_model=Portrait,
    responses=CREATED,
    openapi_extra={"requestBody": FORM.body(), "parameters": [REQUEST_ID_PARAMETER]},
)
async def create_portrait(request: Request, context: ContextDep, caller: WriterDep) -> JSONResponse:
    """Keep a photo, so that forms can name it by `portrait_id` instead of sending it again."""
    portrait_id = new_id()
    kept = False
    try:
        with form_under_way(context, caller):
            await run_in_threadpool(_check_room, context, caller)
            await run_in_threadpool(create_folder, context, portrait_id)
            form = await read_form(context, request, FORM, portrait_id)
            FORM.check(form)
            await complete(context, request, FORM, portrait_id, form)
        record = await run_in_threadpool(_keep, context, caller, portrait_id, form)
        kept = True
    finally:
        if not kept:
            await run_in_threadpool(remove_folder, context, portrait_id)
    portrait = record.public(context.base_url(request))
    return JSONResponse(portrait.model_dump(mode="json"), status_code=201, headers={"Location": portrait.urls.self})


@router.get("", responses=access_responses(s400="Not a cursor of ours"))
def list_portraits(
    request: Request,
    response: Response,
    context: ContextDep,
    caller: ReaderDep,
    *,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> PortraitPage:
    """The caller's portraits, newest first."""
    owner, cursors, base = caller.owner, context.cursors, context.base_url(request)
    records, before = context.portraits.page(owner, limit=limit, before=cursors.open(owner, cursor))
    next_cursor = cursors.seal(owner, before)
    response.headers["Link"] = page_links(request, base, next_cursor)
    return PortraitPage(portraits=[record.public(base) for record in records], next_cursor=next_cursor)


@router.get("/{portrait_id}", responses=NO_PORTRAIT)
def read_portrait(
    request: Request, record: Annotated[PortraitRecord, Depends(readable_portrait)], context: ContextDep
) -> Portrait:
    """One portrait."""
    return record.public(context.base_url(request))


@router.head("/{portrait_id}/file", name="head_portrait", response_class=FileResponse, responses=FILE_RESPONSES)
@router.get("/{portrait_id}/file", response_class=FileResponse, responses=FILE_RESPONSES)
def fetch_portrait(
    request: Request, record: Annotated[PortraitRecord, Depends(readable_portrait)], context: ContextDep
) -> Response:
    """The photo as it was uploaded."""
    return send_input(request, context, record.file, name=record.id, gone=ProblemType.NOT_FOUND)


@router.delete("/{portrait_id}", status_code=204, responses=NO_PORTRAIT)
def delete_portrait(record: Annotated[PortraitRecord, Depends(writable_portrait)], context: ContextDep) -> None:
    """Remove a portrait. Jobs made with it go on."""
    context.portraits.delete(record.id)
    context.artifacts.delete_folder(record.id)


def _check_room(context: Context, caller: Caller) -> None:
    """Before the upload is read; keeping it asks again."""
    most = context.settings.max_portraits
    with bounded(context):
        if context.portraits.count(caller.owner) >= most:
            raise TooManyPortraitsError(most)
        allowance(context, caller).check_kept(context.store.kept(caller.owner))


def _keep(context: Context, caller: Caller, portrait_id: str, form: Form) -> PortraitRecord:
    file = form.files["portrait"]
    width, height = form.sizes["portrait"]
    settings = context.settings
    with bounded(context):
        return context.portraits.create(
            portrait_id,
            caller.owner,
            file,
            width=width,
            height=height,
            retention_s=settings.retention_s,
            most=settings.max_portraits,
            max_file_bytes=settings.max_stored_bytes,
        )

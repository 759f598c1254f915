"""/v1/live: live sessions by a WebSocket, and what is offered of them."""

from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, Field

from jobs.kinds import KINDS, SPEECH_MODEL
from jobs.live import (
    MAX_CAMERA_BYTES,
    MAX_CAMERA_SIDE,
    MAX_SOUND_BYTES,
    MAX_TEXT_BYTES,
    SOUND_RATE,
    SUBPROTOCOL,
    DrivenBy,
)
from jobs.schemas import JobKind
from service.access.throttle import UnderwayError
from service.context import ContextDep, ReaderDep, WriterDep
from service.http.openapi import access_responses
from service.intake.admission import underway_bound_reached
from service.live.admission import most_sessions, require_offered
from service.live.client import MAX_BYTES, MAX_MESSAGES, LiveClient
from service.live.session import hold_session

router = APIRouter(prefix="/v1/live", tags=["live"])


class LiveOffer(BaseModel):
    """Whether and how there are live sessions. Where there are none, `most` is 0."""

    subprotocol: Annotated[str, Field(description="What the server selects where it is offered")]
    sessions: Annotated[int, Field(description="How many there are")]
    most: Annotated[int, Field(description="How many there may be")]
    drives: Annotated[list[DrivenBy], Field(description="What may move the face")]
    idle_s: Annotated[float, Field(description="A session in which nothing came for so many seconds ends")]
    wait_s: Annotated[float, Field(description="So many seconds a worker is waited for")]
    max_messages: Annotated[int, Field(description="Messages that may come in a second")]
    max_bytes: Annotated[int, Field(description="Bytes that may come in a second")]
    max_text_bytes: Annotated[int, Field(description="Bytes of a message of text")]
    max_sound_bytes: Annotated[int, Field(description="Bytes of a message of sound")]
    sound_rate: Annotated[int, Field(description="Samples of sound a second")]
    max_camera_bytes: Annotated[int, Field(description="Bytes of a picture of the camera")]
    max_camera_side: Annotated[int, Field(description="Its longest side in pixels")]


@router.get("", responses=access_responses())
def read_live(context: ContextDep, _: ReaderDep) -> LiveOffer:
    """Whether a portrait can be moved live, how many sessions there are, and what may be sent in one.

    With the headers of a WebSocket this address begins a session; docs/live.md tells what is said in it.
    """
    settings, missing = context.settings, context.catalogue.missing
    offered = not missing(KINDS[JobKind.IMAGE].models)
    return LiveOffer(
        subprotocol=SUBPROTOCOL,
        sessions=context.store.live.count(),
        most=most_sessions(settings, context.store.workers.count()) if offered else 0,
        drives=["controls", "camera", *(() if missing([SPEECH_MODEL]) else ("sound",))],
        idle_s=settings.live_idle_s,
        wait_s=settings.live_wait_s,
        max_messages=MAX_MESSAGES,
        max_bytes=MAX_BYTES,
        max_text_bytes=MAX_TEXT_BYTES,
        max_sound_bytes=MAX_SOUND_BYTES,
        sound_rate=SOUND_RATE,
        max_camera_bytes=MAX_CAMERA_BYTES,
        max_camera_side=MAX_CAMERA_SIDE,
    )


@router.websocket("")
async def hold_live_session(websocket: WebSocket, context: ContextDep, caller: WriterDep) -> None:
    """A live session, as docs/live.md has it."""
    require_offered(context)
    with ExitStack() as arrival:
        try:
            arrival.enter_context(context.arrivals.one(caller.owner))
        except UnderwayError as error:
            raise underway_bound_reached(context, error, "WebSockets whose session has not begun") from error
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
        await hold_session(context, LiveClient(websocket), caller, arrival)

"""/v1/jobs/{id}/stream: a video as HTTP live streaming (RFC 8216), which plays while the video is made."""

import asyncio
import contextlib
import hashlib
import json
import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from jobs.problems import ProblemType
from jobs.schemas import JobKind
from jobs.segments import FIRST_LENGTHS, LENGTH
from jobs.store.records import JobRecord, Stream
from service.access.throttle import UnderwayError
from service.context import Context, ContextDep
from service.http.problems import ProblemError
from service.http.validators import ASK_AGAIN
from service.routes.answers import (
    NO_JOB,
    NO_RESULT,
    file_responses,
    not_finished,
    require_no_other_end,
    send_artifact,
)
from service.routes.jobs import JobDep

APPENDED = "What players append by themselves; it is not looked at"


async def appended_everywhere(
    _cmcd: Annotated[str | None, Query(alias="CMCD", description=APPENDED)] = None,
) -> None:
    """What players append to any address of a stream."""


async def appended_to_playlists(
    _part: Annotated[str | None, Query(alias="_HLS_part", description=APPENDED)] = None,
    _skip: Annotated[str | None, Query(alias="_HLS_skip", description=APPENDED)] = None,
) -> None:
    """What players append to a playlist's address: of what streams of low latency and long ones have."""


router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(appended_everywhere)])

PLAYLIST = "application/vnd.apple.mpegurl"
RELOAD_S = 8.0  # longest wait of who has something to play already; players give up after ten seconds, some of them


def media_playlist(stream: Stream) -> str:
    """The playlist of what there is. Its addresses are relative, so that it may be served under any path."""
    longest = max(*FIRST_LENGTHS, LENGTH) / stream.fps
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest)}",  # of any video of this rate, since it must not change
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES",
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",  # else players begin near the end of what is not complete
        '#EXT-X-MAP:URI="stream/init.mp4"',
    ]
    for number, segment in enumerate(stream.segments):
        lines += [f"#EXTINF:{float(segment.frames / stream.fps):.6f},", f"stream/{number}.m4s"]
    if stream.complete:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


STREAM_RESPONSES: dict[int | str, dict[str, Any]] = {
    **NO_JOB,
    200: {"description": "The playlist", "content": {PLAYLIST: {"schema": {"type": "string"}}}},
    **NO_RESULT,
}


@router.get(
    "/{job_id}/stream.m3u8",
    response_class=Response,
    responses=STREAM_RESPONSES,
    dependencies=[Depends(appended_to_playlists)],
)
async def read_stream(
    request: Request,
    record: JobDep,
    context: ContextDep,
    number: Annotated[
        int, Query(alias="_HLS_msn", ge=0, description="The segment to wait for a little, counted from 0")
    ] = 0,
) -> Response:
    """A video's playlist, from its first segment on; players ask again until it is complete.

    Before there is a segment the answer waits for it, as long as `Prefer: wait` may.
    """
    stream = await run_in_threadpool(_find_stream, context, record)
    if stream is None or not (stream.complete or number < len(stream.segments)):
        longest_s = math.inf if stream is None else RELOAD_S
        await _wait_for_segment(request, context, record, number, min(longest_s, context.settings.max_wait_s))
        found = await run_in_threadpool(context.store.get, record.id)
        if found is None:
            raise ProblemError(ProblemType.NOT_FOUND, f"there is no job {record.id!r}", got=record.id)
        record = found
        stream = await run_in_threadpool(_find_stream, context, record)
    if stream is None:
        raise not_finished(record, "its stream begins with its first segment")
    return Response(media_playlist(stream), media_type=PLAYLIST, headers=ASK_AGAIN)


INIT_RESPONSES = file_responses("beginning", ["video/mp4"])
SEGMENT_RESPONSES = file_responses("segment", ["video/iso.segment"])


@router.head("/{job_id}/stream/init.mp4", name="head_init", response_class=FileResponse, responses=INIT_RESPONSES)
@router.get("/{job_id}/stream/init.mp4", response_class=FileResponse, responses=INIT_RESPONSES)
def fetch_init(request: Request, record: JobDep, context: ContextDep) -> Response:
    """What stands before every segment of a video."""
    stream = _find_stream(context, record)
    if stream is None:
        raise not_finished(record, "its stream begins with its first segment")
    media_type = f'video/mp4; codecs="{stream.codecs}"'
    return _send(request, context, stream.init, media_type=media_type, filename=f"{record.id}-init.mp4")


@router.head(
    "/{job_id}/stream/{number}.m4s", name="head_segment", response_class=FileResponse, responses=SEGMENT_RESPONSES
)
@router.get("/{job_id}/stream/{number}.m4s", response_class=FileResponse, responses=SEGMENT_RESPONSES)
def fetch_segment(request: Request, record: JobDep, context: ContextDep, number: str) -> Response:
    """One segment of a video, as its playlist names them."""
    stream = _find_stream(context, record)
    keys = {str(index): segment.key for index, segment in enumerate(stream.segments if stream else ())}
    if number not in keys:
        raise ProblemError(
            ProblemType.NOT_FOUND,
            f"job {record.id} has no segment {number[:64]!r}; it has {len(keys)} so far",
            got=number,
            allowed=f"0..{len(keys) - 1}" if keys else None,
        )
    filename = f"{record.id}-{number}.m4s"
    return _send(request, context, keys[number], media_type="video/iso.segment", filename=filename)


def _send(request: Request, context: Context, key: str, *, media_type: str, filename: str) -> Response:
    """A part of a stream, which does not change: another one has another key."""
    etag = f'"{hashlib.sha256(key.encode()).hexdigest()[:32]}"'
    return send_artifact(request, context, key, media_type=media_type, filename=filename, etag=etag)


def _find_stream(context: Context, record: JobRecord) -> Stream | None:
    """What there is to play; None before anything is. Raises JobFailedError, ProblemError (404, 409, 410)."""
    if record.kind is not JobKind.VIDEO:
        raise ProblemError(
            ProblemType.NOT_FOUND,
            f"job {record.id} makes no video, so it has no stream",
            got=record.kind.value,
            allowed=JobKind.VIDEO.value,
        )
    require_no_other_end(record)
    stream = context.store.segments.stream(record.id)
    if stream is None and record.status.finished:  # by a worker of a version that made videos in one piece
        raise ProblemError(ProblemType.NOT_FOUND, f"job {record.id} has no stream, only a result")
    return stream


async def _wait_for_segment(request: Request, context: Context, record: JobRecord, number: int, seconds: float) -> None:
    """Wait for a segment, the job's end or the player's; not at all where as many wait already as may."""
    with contextlib.suppress(TimeoutError, UnderwayError), context.followers.one(record.owner):
        async with asyncio.timeout(seconds):
            async for event in context.events.follow(record.id, heartbeat_s=1.0):
                if event is None:
                    if await request.is_disconnected():  # players that lose patience ask again
                        return
                elif event.ends or (event.event == "segment" and json.loads(event.data)["done"] > number):
                    return

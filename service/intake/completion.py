"""What a create call leaves to us: files to be fetched from their addresses, and a text to be spoken."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from fastapi import Request

from jobs.problems import ProblemType
from service.context import Context
from service.http.problems import ProblemError
from service.intake.fields import FieldReader
from service.intake.forms import Form, Shape
from service.intake.uploads import take_file


async def complete(context: Context, request: Request, shape: Shape, job_id: str, form: Form) -> None:
    """Put the files that a form names or describes into it, as if they had been sent; until the client goes away.

    The fields are known to go together. Raises ProblemError, ArtifactsAwayError.
    """
    if "text" in form.texts:
        context.speaker.check(form.texts["text"], form.texts.get("voice"))
    if form.addresses or "text" in form.texts:
        await _while_connected(request, _complete(context, shape, job_id, form))


async def _complete(context: Context, shape: Shape, job_id: str, form: Form) -> None:
    with contextlib.closing(FieldReader(context, shape, job_id, form)) as reader:
        for name, address in form.addresses.items():
            async with context.fetcher.open(name, address, limit=reader.limits[name]) as chunks:
                await take_file(context, reader, name, chunks)
        if "text" in form.texts:
            async with context.speaker.speak(form.texts["text"], form.texts.get("voice")) as sound:
                await take_file(context, reader, "audio", sound)


async def _while_connected(request: Request, work: Coroutine[Any, Any, None]) -> None:
    """Do something that takes a while, and end it when nobody waits for it any more. Raises ProblemError."""
    working, watching = asyncio.create_task(work), asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone = not working.done()
        for task in (working, watching):
            task.cancel()
        await asyncio.wait((working, watching))
    if gone:  # nobody reads this answer, but what was stored is removed
        raise ProblemError(ProblemType.BAD_REQUEST, "the client went away before its inputs were there")
    await working


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""One live session, from its first message to its end."""

import asyncio
import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

import structlog
from redis import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from jobs.files.keys import new_id
from jobs.live import Start
from jobs.messages import live_message
from jobs.problems import Problem, ProblemError, ProblemType
from jobs.store.live import SILENT_S, VOUCH_S
from jobs.store.live_streams import LivePicture, LiveTold
from service.access.control import require
from service.access.keys import KeyScope
from service.access.throttle import Caller
from service.context import Context
from service.http.problems import JobFailedError, presentable_problem
from service.live.admission import Opened, no_worker, open_session
from service.live.client import LATER, NORMAL, REFUSED, LiveClient
from service.live.messages import NoMessageError, Said, read_message

log = structlog.get_logger(__name__)

DEATHS, DEATHS_S = 3, 300.0  # so many workers that die in one session within so many seconds die of it
CALL_AGAIN_S = 5.0  # then a worker is called for again: the one that was called may have died
USES = 4  # how often a portrait is said to be in use in the time after which it would go


async def hold_session(context: Context, client: LiveClient, caller: Caller, arrival: ExitStack) -> None:
    """Hold a session until its client ends it, goes or is refused; `arrival` is closed when it has begun."""
    session_id = new_id()
    try:
        try:
            start = await _first_message(client, context.settings.header_timeout_s)
            opened = await open_session(context, caller, session_id, start)
            arrival.close()
            log.info("live session begins", session_id=session_id, owner=caller.owner)
            await LiveSession(context, client, session_id, opened).run()
        finally:
            with contextlib.suppress(RedisError):  # its lease ends soon
                await run_in_threadpool(context.store.live.close, session_id)
    except WebSocketDisconnect:
        return
    except JobFailedError as error:
        await _end(client, error.problem)
    except ProblemError as error:
        await _end(client, presentable_problem(error))
    except RedisError as error:
        log.error("redis does not answer", error=str(error))  # noqa: TRY400 - nothing of it is unexpected
        await _end(client, Problem.of(ProblemType.UNAVAILABLE, "the job store does not answer"))
    except Exception:
        await _end(client, Problem.of(ProblemType.INTERNAL, "an unexpected error; it has been logged"))
        raise
    else:
        await _end(client, None)


async def _end(client: LiveClient, problem: Problem | None) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        if problem is not None:
            await client.tell_problem(problem)
        if problem is None:
            await client.close(NORMAL)
        else:  # what lacks just now may be there again for the next session
            await client.close(LATER if problem.type == ProblemType.UNAVAILABLE.uri else REFUSED)


async def _first_message(client: LiveClient, seconds: float) -> Start:
    try:
        async with asyncio.timeout(seconds):
            message = await client.receive()
    except TimeoutError as error:
        raise ProblemError(
            ProblemType.TOO_SLOW, f"no message came within {seconds:g} s; the first is to be start", allowed="start"
        ) from error
    first = read_message(message) if isinstance(message, str) else message
    if not isinstance(first, Start):
        got = first.type if not isinstance(first, bytes) else "a binary message"
        raise NoMessageError(
            ProblemType.INVALID_REQUEST, f"the first message is to be start, got {got}", got=got, allowed="start"
        )
    return first


class LiveSession:
    """A session that has begun."""

    def __init__(self, context: Context, client: LiveClient, session_id: str, opened: Opened) -> None:
        self._context = context
        self._client = client
        self._id = session_id
        self._opened = opened
        self._said = Said(context)
        self._news = asyncio.Event()  # something was said that the worker does not know
        self._lost_at: float | None = time.monotonic()  # since when no worker has it
        self._deaths = deque[float](maxlen=DEATHS)  # of its workers
        self._started: dict[str, Any] = {}  # what the client was told last of a worker that has it
        self._missed = False  # that worker; it may turn up again

    async def run(self) -> None:
        """Until the client ends it. Raises what else ends it: ProblemError, JobFailedError, WebSocketDisconnect."""
        await self._tell_waiting("a worker is called")
        await _first_of(self._listen(), self._hand_on(), self._pass_back(), self._watch())

    async def _listen(self) -> None:
        """From the client, until it ends the session."""
        goes_on = True
        while goes_on:
            message = await self._client.receive()
            try:
                goes_on = self._said.take(message)
                self._news.set()
            except NoMessageError:
                raise
            except ProblemError as error:
                await self._client.refuse(error)

    async def _hand_on(self) -> None:
        """To the worker: what is newest when Redis has taken what was before."""
        said, line = self._said, self._context.live
        while True:
            await self._news.wait()
            self._news.clear()
            if not said.told:
                said.told = True
                await line.set_state(self._id, said.state)
            while said.sounds:
                await line.hear(self._id, said.sounds.popleft())
            if said.camera is not None:
                camera, said.camera = said.camera, None
                await line.look(self._id, camera)

    async def _pass_back(self) -> None:
        """From the worker, until it says that this was all: what is newest when the client took what was before."""
        async for news in self._context.live.follow(self._id):
            if isinstance(news, LivePicture):
                if self._missed and self._started:
                    self._missed = False
                    await self._client.tell(self._started)
                await self._client.show(news)
            elif isinstance(news, LiveTold):
                told = json.loads(news.text)
                if told["type"] == "started":
                    self._lost_at, self._started, self._missed = None, told, False
                problem = Problem.model_validate(told["problem"]) if told["type"] == "problem" else None
                if problem is not None and news.ends:
                    raise JobFailedError(problem)
                await (self._client.tell(told) if problem is None else self._client.tell_problem(problem))
                if news.ends:
                    return

    async def _watch(self) -> None:
        """Vouch for the session, call another worker when its own is gone, and keep its portrait."""
        settings = self._context.settings
        called_at = used_at = waited_at = time.monotonic()
        while True:
            await asyncio.sleep(VOUCH_S)
            silent_s = await run_in_threadpool(self._vouch)
            if silent_s is None:
                raise ProblemError(
                    ProblemType.UNAVAILABLE, "the session was lost: the job store did not answer in time"
                )
            now = time.monotonic()
            if silent_s <= SILENT_S:
                self._lost_at = None
            elif self._lost_at is None:
                self._lost_at, self._missed = now, True
                if math.isfinite(silent_s):  # it has not left
                    self._count_death(now)
                await self._tell_waiting("the worker is gone; another one is called")
                called_at = -math.inf
            elif now - self._lost_at > settings.live_wait_s:
                raise await run_in_threadpool(no_worker, self._context, self._opened.most)
            if self._lost_at is not None and now - called_at > CALL_AGAIN_S:
                called_at = now
                await run_in_threadpool(self._context.store.send, live_message(self._id))
            if self._lost_at is not None:
                waited_at = now  # whoever waits for a worker has nothing to say
            if now - max(waited_at, self._client.heard_at) > settings.live_idle_s:
                raise ProblemError(
                    ProblemType.TOO_SLOW, f"nothing came for {settings.live_idle_s:g} s", allowed=settings.live_idle_s
                )
            if now - used_at > settings.retention_s / USES:
                used_at = now
                portrait = self._opened.portrait
                using = self._context.portraits.using(portrait.id, portrait.owner, retention_s=settings.retention_s)
                await self._context.scripts.do(using)

    def _count_death(self, now: float) -> None:
        self._deaths.append(now)
        if len(self._deaths) == DEATHS and now - self._deaths[0] < DEATHS_S:
            raise ProblemError(ProblemType.WORKER_LOST, f"given up: {DEATHS} workers died in this session")

    def _vouch(self) -> float | None:
        """As LiveSessions.vouch. Raises ProblemError (401, 403, 503): the client's key lets nobody in any more."""
        require(self._context.access.caller(self._client.websocket), KeyScope.WRITE)
        return self._context.store.live.vouch(self._id)

    async def _tell_waiting(self, detail: str) -> None:
        await self._client.tell({"type": "waiting", "detail": detail})


async def _first_of(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until one has ended, whose error is raised. None is left running, though one may miss that it is
    canceled, as `asyncio.wait_for` in redis-py can make it before Python 3.12."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        running = set(tasks)
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=1.0)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # else asyncio logs that nobody asked
    for task in ended:
        task.result()

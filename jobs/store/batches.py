"""Scripts run from an event loop: those that are asked for at the same time go to Redis together.

A front-end under load spends most of its time on sending and reading. What came while Redis was at work on one batch
goes with the next, so the more is asked for, the less each costs.
"""

import asyncio
from copy import copy
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as NoAnswerError

from jobs.store.scripts import Answer, Call, Script

BATCHES = 2  # on their way at once
MOST = 100  # calls in a batch: what Redis does of it holds up everybody


@dataclass(frozen=True)
class _Asked:
    script: Script
    texts: tuple[bytes, bytes]
    answer: "asyncio.Future[Any]"


class BatchedScripts:
    """Runs scripts on a Redis. For one event loop alone."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Asked] = []
        self._senders: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections, after what is under way."""
        await asyncio.gather(*self._senders)
        await self._redis.aclose()

    async def do(self, call: Call[Answer]) -> Answer:
        """Run a script; what is read of what it returns. Raises redis.RedisError."""
        job_id, arguments = call.texts
        texts = job_id.encode(), arguments.encode()  # here, since what cannot be sent would fail its whole batch
        asked = _Asked(call.script, texts, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if len(self._senders) < BATCHES:
            self._senders.add(asyncio.create_task(self._send()))
        return call.read(await asked.answer)

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._send_batch([each for each in batch if not each.answer.done()])  # others have left
        finally:  # before anybody else has a turn, who would count on this one
            self._senders.remove(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _send_batch(self, batch: list[_Asked]) -> None:
        try:
            found = await self._run(batch)
        except Exception as error:
            if isinstance(error, NoAnswerError):  # who waits need not learn so one batch after another
                batch, self._waiting = batch + self._waiting, []
            found = [_once_more(error) for _ in batch]
        for asked, each in zip(batch, found, strict=True):
            if asked.answer.done():  # nobody waits for it any more
                continue
            if isinstance(each, Exception):
                asked.answer.set_exception(each)
            else:
                asked.answer.set_result(each)

    async def _run(self, batch: list[_Asked]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for asked in batch:
                pipe.evalsha(asked.script.digest, 0, *asked.texts)
            found: list[Any] = await pipe.execute(raise_on_error=False)
        for index, asked in enumerate(batch):
            if isinstance(found[index], NoScriptError):  # a Redis that was begun anew
                found[index] = await self._with_its_text(asked)
        return found

    async def _with_its_text(self, asked: _Asked) -> Any:
        try:
            return await self._redis.eval(asked.script.text, 0, *asked.texts)
        except ResponseError as error:
            return error


def _once_more(error: Exception) -> Exception:
    """An error for one of many who are told of it: what is raised keeps where it was."""
    own = copy(error)
    own.__cause__ = error
    return own

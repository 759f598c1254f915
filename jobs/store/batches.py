"""Scripts run from an event loop: those that are asked for at the same time go to Redis together.

A front-end under load spends most of its time on sending and reading. What came while Redis was at work on one batch
goes with the next, so the more is asked for, the less each costs.
"""

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from jobs.store.scripts import Answer, Call, Script

BATCHES = 2  # on their way at once
MOST = 100  # calls in a batch: what Redis does of it holds up everybody

Texts = tuple[str, str]
_Waiting = tuple[Script, Texts, "asyncio.Future[Any]"]


class BatchedScripts:
    """Runs scripts on a Redis. For one event loop alone."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[_Waiting] = []
        self._senders: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connections, after what is under way."""
        await asyncio.gather(*self._senders)
        await self._redis.aclose()

    async def do(self, call: Call[Answer]) -> Answer:
        """Run a script; what is read of what it returns. Raises redis.RedisError."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((call.script, call.texts, answer))
        if len(self._senders) < BATCHES:
            sender = asyncio.create_task(self._send())
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)
        return call.read(await answer)

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._send_batch(batch)

    async def _send_batch(self, batch: list[_Waiting]) -> None:
        try:
            found = await self._run([(script, texts) for script, texts, _ in batch])
        except Exception as error:
            found = [error] * len(batch)
        for (*_, answer), each in zip(batch, found, strict=True):
            if answer.done():  # nobody waits for it any more
                continue
            if isinstance(each, Exception):
                answer.set_exception(each)
            else:
                answer.set_result(each)

    async def _run(self, calls: list[tuple[Script, Texts]]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for script, texts in calls:
                pipe.evalsha(script.digest, 0, *texts)
            found: list[Any] = await pipe.execute(raise_on_error=False)
        for index, (script, texts) in enumerate(calls):
            if isinstance(found[index], NoScriptError):  # a Redis that was begun anew
                found[index] = await self._with_its_text(script, texts)
        return found

    async def _with_its_text(self, script: Script, texts: Texts) -> Any:
        try:
            return await self._redis.eval(script.text, 0, *texts)
        except RedisError as error:
            return error

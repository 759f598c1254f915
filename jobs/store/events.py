"""A job's events as they come, for server-sent events and for waiting; asynchronous."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self, cast

from redis.asyncio import Redis

from jobs.redis_clients import async_redis_client, blocking
from jobs.store.names import events_key
from jobs.store.records import Event

HEARTBEAT_S = 15.0  # a quiet stream is looked after so often, or more often
MAX_FOLLOWERS = 2000  # each holds a connection while it waits


class JobEvents:
    """Reads the event streams that the job store writes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads: set[asyncio.Timeout] = set()
        self._stopped = False

    @classmethod
    def connect(cls, url: str) -> Self:
        """A reader on the Redis at `url`; connects on first use."""
        options = {"socket_timeout": blocking(HEARTBEAT_S), "max_connections": MAX_FOLLOWERS}
        return cls(async_redis_client(url, decode_responses=True, **options))

    def stop(self) -> None:
        """Let all that follow or wait go: this front-end stops."""
        self._stopped = True
        for read in self._reads:
            read.reschedule(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def follow(
        self, job_id: str, *, after: str = "0", heartbeat_s: float = HEARTBEAT_S
    ) -> AsyncIterator[Event | None]:
        """Events after the id `after`, until the job has ended; None when nothing came for `heartbeat_s`.

        Ends too, after a None, when the job was deleted, and at once when the front-end stops.
        """
        key = events_key(job_id)
        task = asyncio.current_task()
        while not self._stopped:
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # which `asyncio.wait_for` in redis-py can lose before Python 3.12
            answer: Any = []
            with contextlib.suppress(TimeoutError):  # that of `stop`
                async with asyncio.timeout(None) as read:
                    self._reads.add(read)
                    try:
                        answer = await self._redis.xread({key: after}, count=100, block=max(1, int(1000 * heartbeat_s)))
                    finally:
                        self._reads.discard(read)
            entries = cast("list[tuple[str, dict[str, str]]]", answer[0][1] if answer else [])
            for entry_id, fields in entries:
                event = Event(entry_id, fields["event"], fields["data"])
                after = entry_id
                yield event
                if event.ends:
                    return
            if not entries:
                yield None
                if not await self._redis.exists(key):
                    return

    async def wait(self, job_id: str, seconds: float) -> bool:
        """Wait up to `seconds` for the job to end; True when it has."""
        try:
            async with asyncio.timeout(seconds):
                async for event in self.follow(job_id, heartbeat_s=min(1.0, max(seconds, 0.05))):
                    if event is not None and event.ends:
                        return True
        except TimeoutError:
            pass
        return False

"""What a live session's client and its worker say to each other: streams in Redis of bounded length.

Nothing queues up. Of states, of the camera's pictures and of those that are drawn the newest is kept, of sound a few
seconds. So a client that reads slowly misses pictures, and a worker that takes a session over begins with the state.
What a worker tells besides is kept until it was read.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from jobs.live import SOUND_RATE, LiveState, PictureHeader
from jobs.problems import Problem
from jobs.redis_clients import async_redis_client, redis_client
from jobs.store.live import KEPT_S, STREAMS, LiveClaim
from jobs.store.names import Key

STATES, SOUNDS, CAMERAS, PICTURES, TOLD = STREAMS
LENGTHS = {STATES: 1, SOUNDS: 50, CAMERAS: 1, PICTURES: 1, TOLD: 20}
SOUND_BYTES_AT_ONCE = 3 * 2 * SOUND_RATE  # that are taken at once: three seconds
BLOCK_S = 1.0  # much less than a connection waits for an answer

# length, seconds, take (empty for the client), then fields and values: one step, so that nothing is left behind of a
# session that has ended, and that a worker which has lost one, but does not know it yet, says nothing in it
ADD = """
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'takes') ~= ARGV[3] then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[1], '*', unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""


@dataclass(frozen=True)
class LivePicture:
    """A JPEG, and the PictureHeader beside it as JSON."""

    header: str
    jpeg: bytes


@dataclass(frozen=True)
class LiveTold:
    """A message for the client, as JSON; `ends` says that it is the last: the session cannot go on."""

    text: str
    ends: bool


@dataclass(frozen=True)
class LiveNews:
    """What came from the client: its newest state, the newest of its sound, the newest picture of its camera."""

    state: LiveState | None
    sounds: tuple[bytes, ...]
    camera: bytes | None

    def __bool__(self) -> bool:
        return self.state is not None or bool(self.sounds) or self.camera is not None


class LiveLine:
    """The client's end, held by a front-end; asynchronous."""

    def __init__(self, redis: AsyncRedis) -> None:
        self._redis = redis

    @classmethod
    def connect(cls, url: str, *, most: int) -> Self:
        """A line to the Redis at `url`, for `most` sessions; connects on first use."""
        return cls(async_redis_client(url, max_connections=2 * most + 10))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def set_state(self, session_id: str, state: LiveState) -> None:
        """Say how all stands now, in place of what was said before."""
        await self._send(session_id, STATES, state=state.model_dump_json())

    async def hear(self, session_id: str, pcm: bytes) -> None:
        """Hand over sound, as jobs.live.SOUND has it."""
        await self._send(session_id, SOUNDS, pcm=pcm)

    async def look(self, session_id: str, jpeg: bytes) -> None:
        """Hand over a picture of the camera."""
        await self._send(session_id, CAMERAS, jpeg=jpeg)

    async def follow(self, session_id: str) -> AsyncIterator[LivePicture | LiveTold | None]:
        """What the worker says: all that it tells, and the newest picture. None after a second without any."""
        after = {_key(session_id, PICTURES): "0", _key(session_id, TOLD): "0"}
        while True:
            answer = cast("Any", await self._redis.xread(cast("Any", after), block=round(1000 * BLOCK_S)))
            pictures = list[LivePicture]()
            for name, entries in answer:
                after[name.decode()] = entries[-1][0].decode()
                for _, fields in entries:
                    if b"jpeg" in fields:
                        pictures.append(LivePicture(fields[b"header"].decode(), fields[b"jpeg"]))
                    else:
                        yield LiveTold(fields[b"text"].decode(), fields[b"ends"] == b"1")
            if pictures:
                yield pictures[-1]
            if not answer:
                yield None

    async def _send(self, session_id: str, stream: str, **fields: str | bytes) -> None:
        await self._redis.eval(ADD, 2, *_addition(session_id, stream, fields))


class LiveEnd:
    """The other end, of the worker that has the session; synchronous."""

    def __init__(self, url: str, claim: LiveClaim) -> None:
        self._redis: Redis = redis_client(url)
        self._id, self._take = claim.session_id, claim.take
        # the state counts from before; sound and pictures of a camera are of the moment
        self._after = {_key(self._id, STATES): b"0"}
        for key in (_key(self._id, SOUNDS), _key(self._id, CAMERAS)):
            self._after[key] = self._last(key)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def read(self, block_s: float) -> LiveNews:
        """What came since the last call; where nothing did, what comes first within so many seconds."""
        answer = cast("Any", self._redis.xread(cast("Any", self._after), block=max(1, round(1000 * block_s))))
        state, sounds, camera = None, list[bytes](), None
        for name, entries in answer:
            self._after[name.decode()] = entries[-1][0]
            last = entries[-1][1]
            if b"state" in last:
                state = LiveState.model_validate_json(last[b"state"])
            elif b"jpeg" in last:
                camera = last[b"jpeg"]
            else:
                sounds = _newest([fields[b"pcm"] for _, fields in entries])
        return LiveNews(state, tuple(sounds), camera)

    def show(self, header: PictureHeader, jpeg: bytes) -> None:
        """Hand over a picture."""
        self._send(PICTURES, header=header.model_dump_json(), jpeg=jpeg)

    def tell(self, text: str, *, ends: bool = False) -> None:
        """Hand over a message for the client, as JSON."""
        self._send(TOLD, text=text, ends=str(int(ends)))

    def tell_problem(self, problem: Problem, *, ends: bool = False) -> None:
        """Say what was refused, or why the session cannot go on."""
        document = problem.model_dump(mode="json", exclude_none=True)
        self.tell(json.dumps({"type": "problem", "problem": document}), ends=ends)

    def _last(self, key: str) -> bytes:
        """The id of a stream's last entry; one before all others where it has none."""
        return next((entry for entry, _ in cast("Any", self._redis.xrevrange(key, count=1))), b"0")

    def _send(self, stream: str, **fields: str | bytes) -> None:
        self._redis.eval(ADD, 2, *_addition(self._id, stream, fields, take=str(self._take)))


def _newest(sounds: list[bytes]) -> list[bytes]:
    """The last of the sounds, as many as are no more than may be taken at once."""
    left = SOUND_BYTES_AT_ONCE
    first = len(sounds)
    while first and (left := left - len(sounds[first - 1])) >= 0:
        first -= 1
    return sounds[first:]


def _addition(session_id: str, stream: str, fields: Mapping[str, str | bytes], *, take: str = "") -> list[Any]:
    """Keys and arguments of ADD."""
    flat = [each for pair in fields.items() for each in pair]
    return [_key(session_id, stream), Key.LIVE_SESSION + session_id, LENGTHS[stream], KEPT_S, take, *flat]


def _key(session_id: str, stream: str) -> str:
    return Key.LIVE_SESSION + session_id + stream

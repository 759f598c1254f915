"""Clients of the HTTP API: many at once, each answer timed."""

import asyncio
import contextlib
import itertools
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx

MOTION = json.dumps({"space": "open478", "controls": {"yaw": 20, "smile": 0.5}})

Call = Callable[[], Awaitable[None]]

# httpx looks through all connections of a client at each request: with hundreds in one, the client is what is timed.
POOLS = 32

REFUSED_S = 1.0  # after which a stream is asked for again; at once it would be a load of its own


@dataclass
class Answers:
    """How long answers took, in seconds, and how many were not what was asked for."""

    seconds: list[float] = field(default_factory=list)
    failures: int = 0

    def summary(self, over_s: float) -> dict[str, float]:
        """Rate, percentiles in milliseconds and failures of answers that came within `over_s` seconds."""
        return {
            "per_second": round(len(self.seconds) / over_s, 1),
            **{f"p{percent}_ms": round(1000 * quantile(self.seconds, percent / 100), 1) for percent in (50, 99)},
            "most_ms": round(1000 * max(self.seconds), 1),
            "failures": self.failures,
        }


class Clients:
    """Submits and polls jobs, and follows them."""

    def __init__(self, url: str, key: str, portrait: Path) -> None:
        # Connections are given up before the server closes them (after 5 s), so that no request meets a closing one.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2)
        make = partial(
            httpx.AsyncClient,
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            limits=limits,
            timeout=60,
            verify=ssl.create_default_context(),  # made once: it is read from a file
            trust_env=False,
        )
        self._pools = [make() for _ in range(POOLS)]
        self._listening = [make() for _ in range(POOLS)]
        self._turn = itertools.count()
        self._portrait = portrait.read_bytes()
        self._by_id: dict[str, str] = {}
        self.jobs: list[str] = []
        self.submitted = Answers()
        self.polled = Answers()
        self.unfollowed = 0  # streams that were refused

    async def __aenter__(self) -> Self:
        answer = await self._pools[0].post("/v1/portraits", files={"portrait": self._portrait})
        answer.raise_for_status()
        self._by_id = {"portrait_id": answer.json()["id"], "motion": MOTION}
        return self

    async def __aexit__(self, *_: object) -> None:
        for pool in (*self._pools, *self._listening):
            await pool.aclose()

    async def submit(self, due: float | None = None) -> None:
        """Send a job with its photo."""
        files = {"portrait": self._portrait, "motion": (None, MOTION)}
        await self._submit(files, due)

    async def submit_by_id(self, due: float | None = None) -> None:
        """Send a job that names a portrait sent before."""
        await self._submit({name: (None, text) for name, text in self._by_id.items()}, due)

    async def poll(self, due: float | None = None) -> None:
        """Read a job; another each time."""
        due = due or time.monotonic()
        job = self.jobs[len(self.polled.seconds) * 7919 % len(self.jobs)]
        answer = await self._in_turn(self._pools).get(f"/v1/jobs/{job}")
        self._note(self.polled, due, answer, 200)

    async def listen(self, jobs: Iterator[str], delays: list[float]) -> None:
        """Follow one job after another to its end; `delays` are from an event's making to its coming, in seconds."""
        http = self._in_turn(self._listening)
        for job in jobs:
            with contextlib.suppress(httpx.ReadError):
                async with http.stream("GET", f"/v1/jobs/{job}/events") as response:
                    if response.status_code != 200:
                        self.unfollowed += 1
                        await asyncio.sleep(REFUSED_S)
                        continue
                    opened = time.time()
                    async for line in response.aiter_lines():
                        if line.startswith("id: "):
                            made = int(line[4:].partition("-")[0]) / 1000
                            if made > opened:  # not one of those before
                                delays.append(time.time() - made)

    def _in_turn(self, pools: list[httpx.AsyncClient]) -> httpx.AsyncClient:
        return pools[next(self._turn) % len(pools)]

    async def _submit(self, files: dict[str, Any], due: float | None) -> None:
        due = due or time.monotonic()
        answer = await self._in_turn(self._pools).post("/v1/images", files=files)
        self._note(self.submitted, due, answer, 202)
        if answer.status_code == 202:
            self.jobs.append(answer.json()["id"])

    def _note(self, answers: Answers, due: float, answer: httpx.Response, expected: int) -> None:
        answers.seconds.append(time.monotonic() - due)
        answers.failures += answer.status_code != expected


async def as_fast_as_it_goes(call: Call, *, clients: int, count: int = 10**9, seconds: float = 1e9) -> float:
    """`clients` call again and again, `count` times in all or for `seconds`; how long it took."""
    began = time.monotonic()
    left = itertools.count(count, -1)

    async def client() -> None:
        while next(left) > 0 and time.monotonic() - began < seconds:
            await call()

    await asyncio.gather(*(client() for _ in range(clients)))
    return time.monotonic() - began


async def at_a_rate(
    calls: list[Callable[[float], Coroutine[None, None, None]]], *, rate: float, seconds: float
) -> float:
    """Call in turn at a fixed rate, however long answers take: a slow answer does not hold back the next question.

    Each is told when it was due, so that a late start counts as part of the answer's time. How long it took until all
    were answered.
    """
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(calls[number % len(calls)](due))
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def listening(clients: Clients, count: int, delays: list[float]) -> AsyncIterator[None]:
    """`count` streams of events are open while the block runs; they follow the jobs that are next in turn."""
    jobs = iter(list(clients.jobs))
    tasks = [asyncio.create_task(clients.listen(jobs, delays)) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

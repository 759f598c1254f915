"""Scripts run from an event loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as NoAnswerError

from jobs.files.keys import new_id
from jobs.redis_clients import async_redis_client
from jobs.store.batches import BATCHES, MOST, BatchedScripts
from jobs.store.jobs import JobStore
from jobs.store.scripts import Call, Script
from tests.jobs.conftest import SPEC
from tests.support.processes import PATIENCE_S
from tests.support.redis_servers import RedisServer, running

SUM = Script("return a.first + a.second")


def add(first: int, second: int) -> Call[int]:
    return Call(SUM, int, arguments={"first": first, "second": second})


def run(url: str, work: Callable[[BatchedScripts], Awaitable[Any]], **options: Any) -> Any:
    async def working() -> Any:
        scripts = BatchedScripts(async_redis_client(url, decode_responses=True, **options))
        try:
            return await work(scripts)
        finally:
            await scripts.close()

    return asyncio.run(working())


def test_each_gets_its_own_answer(redis_url: str) -> None:
    async def work(scripts: BatchedScripts) -> list[int]:
        return await asyncio.gather(*(scripts.do(add(number, 1)) for number in range(3 * MOST)))

    assert run(redis_url, work) == [number + 1 for number in range(3 * MOST)]


def test_what_is_asked_for_at_once_goes_together(redis_url: str) -> None:
    async def work(scripts: BatchedScripts) -> None:
        await asyncio.gather(*(scripts.do(add(number, 1)) for number in range(2000)))

    with redis.Redis.from_url(redis_url) as client:
        before = client.info("stats")["total_connections_received"]
        run(redis_url, work)
        assert client.info("stats")["total_connections_received"] - before <= BATCHES


def test_a_script_that_fails_fails_for_whoever_asked(redis_url: str) -> None:
    bad = Call(Script("return redis.call('HGET', 'x')"), str)
    unread = Call(SUM, lambda _: 1 // 0, arguments={"first": 1, "second": 1})

    async def work(scripts: BatchedScripts) -> Any:
        return await asyncio.gather(
            scripts.do(add(1, 2)), scripts.do(bad), scripts.do(unread), scripts.do(add(3, 4)), return_exceptions=True
        )

    first, second, third, fourth = run(redis_url, work)
    assert (first, fourth) == (3, 7)
    assert isinstance(second, ResponseError)
    assert isinstance(third, ZeroDivisionError)


def test_a_redis_that_has_forgotten_its_scripts_gets_them_again(redis_url: str) -> None:
    async def work(scripts: BatchedScripts) -> tuple[int, int]:
        first = await scripts.do(add(1, 2))
        with redis.Redis.from_url(redis_url) as client:
            client.script_flush()
        return first, await scripts.do(add(3, 4))

    assert run(redis_url, work) == (3, 7)


def test_whoever_leaves_holds_up_nobody(redis_url: str) -> None:
    async def work(scripts: BatchedScripts) -> int:
        gone = asyncio.create_task(scripts.do(add(1, 2)))
        await asyncio.sleep(0)
        gone.cancel()
        return await scripts.do(add(3, 4))

    assert run(redis_url, work) == 7


def test_what_is_asked_for_as_all_batches_end_is_sent(redis_url: str) -> None:
    slow = Call(Script("local n = 0 while n < 1e7 do n = n + 1 end"), str)

    async def ask(scripts: BatchedScripts, *calls: Call[Any]) -> None:
        for call in calls:
            await scripts.do(call)

    async def work(scripts: BatchedScripts) -> None:
        for _ in range(2):  # the first time it connects
            first = asyncio.create_task(ask(scripts, slow, add(1, 2)))
            await asyncio.sleep(0.02)  # Redis is at work on it
            second = asyncio.create_task(ask(scripts, add(3, 4)))
            await asyncio.sleep(0.02)
            time.sleep(0.5)  # noqa: ASYNC251 - so that both answers are there when the loop looks
            await asyncio.wait_for(asyncio.gather(first, second), PATIENCE_S)

    run(redis_url, work)


def test_what_cannot_be_sent_fails_for_whoever_asked(redis_url: str) -> None:
    half = Call(SUM, str, arguments={"first": "\ud800"})  # of a pair, which UTF-8 does not have

    async def work(scripts: BatchedScripts) -> Any:
        return await asyncio.gather(
            scripts.do(add(1, 2)), scripts.do(half), scripts.do(add(3, 4)), return_exceptions=True
        )

    first, second, third = run(redis_url, work)
    assert (first, third) == (3, 7)
    assert isinstance(second, UnicodeEncodeError)


def test_while_redis_hangs_nobody_waits_for_others_to_learn_so(tmp_path: Path) -> None:
    server, many = RedisServer(tmp_path), 5 * BATCHES * MOST

    async def work(scripts: BatchedScripts) -> list[Any]:
        await asyncio.gather(*(scripts.do(add(1, 2)) for _ in range(many)))
        server.hang()
        try:
            return await asyncio.gather(*(scripts.do(add(1, 2)) for _ in range(many)), return_exceptions=True)
        finally:
            server.go_on()
            await scripts.do(add(1, 2))

    with running(server), server.client() as client:
        before = client.info("stats")["total_connections_received"]
        found = run(server.url, work, socket_timeout=2)
        connections = client.info("stats")["total_connections_received"] - before
    assert connections <= 2 * BATCHES  # and not one for each batch
    assert all(isinstance(each, NoAnswerError) for each in found)
    assert len({id(each) for each in found}) == many


def test_a_redis_that_is_away_is_told_to_all() -> None:
    async def work(scripts: BatchedScripts) -> list[Any]:
        return await asyncio.gather(*(scripts.do(add(1, 2)) for _ in range(5)), return_exceptions=True)

    assert all(isinstance(each, RedisError) for each in run("redis://127.0.0.1:1/0", work))


def test_a_job_whose_answer_was_lost_is_not_made_twice(store: JobStore, redis_url: str) -> None:
    job_id = new_id()

    async def work(scripts: BatchedScripts) -> list[Any]:
        creating = store.creation.creating(job_id, SPEC, owner="me")
        return [(await scripts.do(creating)).record, (await scripts.do(creating)).record]

    first, second = run(redis_url, work)
    assert first == second == store.get(job_id)
    room = store.do(store.creation.asking(first.kind, "me"))
    assert (room.waiting, room.own) == (1, 1)

"""Events of jobs as they come."""

import asyncio
import threading

import pytest

from jobs.problems import Problem, ProblemType
from jobs.schemas import Progress
from jobs.store.events import JobEvents
from jobs.store.jobs import JobStore
from tests.jobs.conftest import RESULT, claim, create


def test_events_resume_after_an_id_and_end_with_the_job(store: JobStore, redis_url: str) -> None:
    job_id = create(store)
    taken = claim(store, job_id)
    store.claims.progress(taken, Progress(stage="render", done=1, total=2))
    store.claims.fail(taken, Problem.of(ProblemType.NO_FACE, "no face"))

    async def follow(after: str) -> list[tuple[str, str, str]]:
        events = JobEvents.connect(redis_url)
        try:
            return [
                (event.id, event.event, event.data)
                async for event in events.follow(job_id, after=after, heartbeat_s=5)
                if event is not None
            ]
        finally:
            await events.close()

    everything = asyncio.run(follow("0"))
    assert [event for _, event, _ in everything] == ["status", "status", "progress", "status"]
    assert everything[-1][2] == '{"status":"failed"}'
    assert asyncio.run(follow(everything[1][0])) == everything[2:]


def test_a_quiet_stream_beats_and_goes_on(store: JobStore, redis_url: str) -> None:
    job_id = create(store)

    async def follow() -> list[str | None]:
        events = JobEvents.connect(redis_url)
        seen: list[str | None] = []
        try:
            async for event in events.follow(job_id, heartbeat_s=5.5):  # longer than redis-py waits unless told
                seen.append(event.data if event is not None else None)
                if event is None:
                    store.request_cancel(job_id)
        finally:
            await events.close()
        return seen

    assert asyncio.run(follow()) == ['{"status":"queued"}', None, '{"status":"canceled"}']


def test_waiting_ends_with_the_job_or_the_time(store: JobStore, redis_url: str) -> None:
    job_id = create(store)

    async def wait(seconds: float) -> bool:
        events = JobEvents.connect(redis_url)
        try:
            return await events.wait(job_id, seconds)
        finally:
            await events.close()

    assert asyncio.run(wait(0.1)) is False
    worker = threading.Timer(0.2, lambda: store.claims.succeed(claim(store, job_id), RESULT, key="k"))
    worker.start()
    assert asyncio.run(wait(60)) is True
    worker.join()


@pytest.mark.slow
def test_waiting_ends_in_time_for_all_of_many_while_events_come(store: JobStore, redis_url: str) -> None:
    job_id = create(store)
    taken = claim(store, job_id)

    async def wait() -> int:
        events = JobEvents.connect(redis_url)
        waiting = [asyncio.create_task(events.wait(job_id, 1)) for _ in range(200)]
        try:
            for done in range(200):
                await asyncio.to_thread(store.claims.progress, taken, Progress(stage="render", done=done, total=200))
                if all(one.done() for one in waiting):
                    break
                await asyncio.sleep(0.05)
            return sum(not one.done() for one in waiting)
        finally:
            store.claims.fail(taken, Problem.of(ProblemType.NO_FACE, "no face"))
            await asyncio.gather(*waiting)
            await events.close()

    assert asyncio.run(wait()) == 0

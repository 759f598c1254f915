"""The messages that workers read, which are as Celery itself would send them."""

import base64
import json
from typing import Any

import pytest
import redis

from jobs.kinds import KINDS, LIVE_QUEUE
from jobs.messages import LIVE_TASK, job_message, live_message, task_name
from jobs.schemas import JobKind
from jobs.store.records import Message
from worker.queue.app import make_app

JOB = "0" * 32
OWN = {"origin", "reply_to", "delivery_tag"}  # of who sends a message, and of each


@pytest.mark.parametrize("kind", [*JobKind, None])
def test_messages_are_as_celery_sends_them(kind: JobKind | None, redis_url: str) -> None:
    ours = live_message(JOB) if kind is None else job_message(JOB, kind)
    token = facts(ours.text)["headers"]["id"]
    task, queue = (LIVE_TASK, LIVE_QUEUE) if kind is None else (task_name(kind), KINDS[kind].queue)
    celery = make_app(redis_url)
    celery.send_task(task, args=[JOB if kind is None else token], task_id=token, queue=queue, retry=False)
    celery.close()
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        theirs = Message(ours.queue, str(client.lpop(ours.queue)))
    assert facts(ours.text) == facts(theirs.text)


def test_each_message_is_known_by_itself() -> None:
    first, second = (facts(job_message(JOB, JobKind.VIDEO).text)["headers"]["id"] for _ in range(2))
    assert first != second
    assert first.startswith(JOB)


def facts(text: str) -> dict[str, Any]:
    """What a message says, but for what is its sender's own."""
    message = json.loads(text)
    message["body"] = json.loads(base64.b64decode(message["body"]))
    for part in ("headers", "properties"):
        assert all(message[part].get(name) is not None for name in OWN & message[part].keys())
        message[part] = {name: value for name, value in message[part].items() if name not in OWN}
    return dict(message)

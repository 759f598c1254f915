"""Messages to workers, which say that a job waits, not which: whose turn it is is the job store's to say.

They are read by Celery (worker/queue/app.py) and sent without it.
"""

import base64
import json
import secrets

from redis import Redis

from jobs.kinds import KINDS, LIVE_QUEUE
from jobs.schemas import JobKind
from jobs.store.claims import TOKEN_SECONDS
from jobs.store.names import MESSAGES
from jobs.store.records import Message

_TASK_PREFIX = "pirenderer."
LIVE_TASK = _TASK_PREFIX + LIVE_QUEUE

# A message not acknowledged within the visibility timeout is delivered again, so no task may run as long.
TASK_TIME_LIMIT_S = 3000
TASK_SOFT_TIME_LIMIT_S = 2940
VISIBILITY_TIMEOUT_S = TOKEN_SECONDS // 2  # so that the job of a message that comes again is still known


def task_name(kind: JobKind) -> str:
    """What the task that works on jobs of a kind is called."""
    return f"{_TASK_PREFIX}{kind.value}"


def kind_of_task(name: str) -> JobKind:
    """The kind of job that the task of this name works on."""
    return JobKind(name.removeprefix(_TASK_PREFIX))


def queue_key(kind: JobKind) -> str:
    """The key in Redis of the messages that wait."""
    return MESSAGES + KINDS[kind].queue


def waiting_messages(redis: Redis, kind: JobKind) -> int:
    """How many messages wait in a queue."""
    return redis.llen(queue_key(kind))


def job_message(job_id: str, kind: JobKind) -> Message:
    """A message saying that a job of a kind waits, or a part of one: the worker asks the store whose turn it is."""
    token = f"{job_id}-{secrets.token_hex(4)}"  # of many messages for one video each is known by itself
    return _message(task_name(kind), token, token, KINDS[kind].queue)


def live_message(session_id: str) -> Message:
    """A call to a live session. A worker that finds it taken steps back, so it may be sent again."""
    return _message(LIVE_TASK, secrets.token_hex(16), session_id, LIVE_QUEUE)


def _message(task: str, task_id: str, argument: str, queue: str) -> Message:
    """What `Celery.send_task` would send: a task of Celery's message protocol 2 in Kombu's envelope for Redis.

    It is made here, so that a script can queue a job together with its message, and in a tenth of the time.
    """
    body = [[argument], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    headers = {
        **{"lang": "py", "task": task, "id": task_id, "root_id": task_id, "parent_id": None, "group": None},
        **{"argsrepr": repr([argument]), "kwargsrepr": "{}", "retries": 0, "timelimit": [None, None]},
        **{"shadow": None, "eta": None, "expires": None, "group_index": None, "ignore_result": None},
        **{"origin": "pirenderer", "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}},
    }
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": secrets.token_hex(16),
    }
    envelope = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return Message(MESSAGES + queue, json.dumps(envelope))

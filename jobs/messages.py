"""Messages by Celery, which say that a job waits, not which: whose turn it is is the job store's to say.

All that only Celery needs stands here: its application, which both ends share, its tasks and its settings.
"""

import base64
import json
import secrets

from celery import Celery
from kombu import Queue
from kombu.utils.scheduling import priority_cycle
from redis import Redis

from jobs.kinds import KINDS, LIVE_QUEUE, PRIORITIES, QUEUES
from jobs.redis_clients import broker_options
from jobs.redis_url import kombu_url
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
MAX_RETRIES = 2


class ByPriority(priority_cycle):  # type: ignore[misc] # kombu has no types
    """Lets kombu ask the queues in the order of their kinds' priority, one at a time."""

    def consume(self, n: int) -> list[str]:
        """The first `n` of the queues consumed from, which kombu holds as a set."""
        return sorted(self.items[:n], key=PRIORITIES.__getitem__)


def make_celery(redis_url: str) -> Celery:
    """The Celery application of either end. Tasks are sent by name and results live in the job store."""
    app = Celery("pirenderer", broker=kombu_url(redis_url), set_as_current=False)
    reached = broker_options(redis_url)
    app.conf.update(
        task_queues=[Queue(name) for name in QUEUES],
        task_default_queue=KINDS[JobKind.IMAGE].queue,
        task_create_missing_queues=False,
        task_routes={
            LIVE_TASK: {"queue": LIVE_QUEUE},
            **{task_name(kind): {"queue": KINDS[kind].queue} for kind in JobKind},
        },
        # json only; nothing but a job's id is in a message
        task_serializer="json",
        result_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # a message is given up only when its work is done
        task_acks_late=True,
        task_retry_on_worker_lost=True,
        task_annotations={"*": {"max_retries": MAX_RETRIES}},
        worker_prefetch_multiplier=1,
        task_time_limit=TASK_TIME_LIMIT_S,
        task_soft_time_limit=TASK_SOFT_TIME_LIMIT_S,
        broker_use_ssl=reached["broker_use_ssl"],
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            **reached["broker_transport_options"],
            "queue_order_strategy": ByPriority,
            "global_keyprefix": MESSAGES,
        },
        result_backend_transport_options={"visibility_timeout": VISIBILITY_TIMEOUT_S},
        visibility_timeout=VISIBILITY_TIMEOUT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for Redis as long as it is away
        # prefork with one spawned child: answers pings while busy, dies alone; loading a model takes longer than 4 s
        worker_pool="prefork",
        worker_concurrency=1,
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=300,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_soft_shutdown_timeout=5.0,
        worker_enable_remote_control=False,  # nobody uses it
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        timezone="UTC",
    )
    return app


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

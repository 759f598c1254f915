"""Queues, task names and the Celery settings that front-end and workers must share."""

from celery import Celery
from kombu import Queue
from redis import Redis

from jobs.redis_url import kombu_url
from jobs.schemas import JobKind

# In front of every key of Celery's, the queues' among them: other applications may use the same Redis.
KEY_PREFIX = "pirenderer:celery:"

# Workers empty them in the order of their names: an image, which somebody waits for, goes before a video.
QUEUES = {JobKind.IMAGE: "images", JobKind.VIDEO: "videos", JobKind.MOTION: "motions"}
TASKS = {
    JobKind.IMAGE: "pirenderer.image",
    JobKind.VIDEO: "pirenderer.video",
    JobKind.MOTION: "pirenderer.motion",
}

# A message not acknowledged within the visibility timeout is delivered again, so no task may run as long.
TASK_TIME_LIMIT_S = 3000
TASK_SOFT_TIME_LIMIT_S = 2940
VISIBILITY_TIMEOUT_S = 3600
MAX_RETRIES = 2


def make_celery(redis_url: str) -> Celery:
    """The Celery application of either end. Tasks are sent by name and results live in the job store."""
    app = Celery("pirenderer", broker=kombu_url(redis_url), set_as_current=False)
    app.conf.update(
        task_queues=[Queue(name) for name in QUEUES.values()],
        task_default_queue=QUEUES[JobKind.IMAGE],
        task_create_missing_queues=False,
        task_routes={TASKS[kind]: {"queue": QUEUES[kind]} for kind in JobKind},
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
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            "socket_keepalive": True,
            "queue_order_strategy": "sorted",
            "global_keyprefix": KEY_PREFIX,
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


def queue_key(kind: JobKind) -> str:
    """The key in Redis of the messages that wait."""
    return KEY_PREFIX + QUEUES[kind]


def waiting_messages(redis: Redis, kind: JobKind) -> int:
    """How many messages wait in a queue."""
    return redis.llen(queue_key(kind))


def send(app: Celery, job_id: str, kind: JobKind) -> None:
    """Queue a message saying that a job of a kind waits; the worker that takes it asks the store whose turn it is.

    Raises kombu.exceptions.OperationalError when Redis is away.
    """
    app.send_task(TASKS[kind], args=[job_id], task_id=job_id, queue=QUEUES[kind], retry=False)

"""The Celery application of a worker, and the worker process itself."""

import os
import socket
import warnings

import structlog
from celery import Celery
from celery.exceptions import SecurityWarning
from kombu import Queue
from kombu.transport import redis, virtual
from kombu.utils.scheduling import priority_cycle
from redis import RedisError

from jobs.kinds import KINDS, LIVE_QUEUE, PRIORITIES, QUEUES
from jobs.messages import LIVE_TASK, TASK_SOFT_TIME_LIMIT_S, TASK_TIME_LIMIT_S, VISIBILITY_TIMEOUT_S, task_name
from jobs.redis_clients import broker_options
from jobs.redis_url import kombu_url
from jobs.schemas import JobKind
from jobs.store.claims import MAX_DELIVERIES
from jobs.store.names import MESSAGES
from worker.queue.gpus import take_gpu
from worker.queue.pool import Pool
from worker.settings import WorkerSettings

log = structlog.get_logger(__name__)


class ByPriority(priority_cycle):  # type: ignore[misc] # kombu has no types
    """Lets kombu ask the queues in the order of their kinds' priority, one at a time."""

    def consume(self, n: int) -> list[str]:
        """The first `n` of the queues consumed from, which kombu holds as a set."""
        return sorted(self.items[:n], key=PRIORITIES.__getitem__)


class Acknowledgements(redis.QoS):  # type: ignore[misc] # kombu has no types
    """Counts a message as acknowledged although Redis could not be told.

    Kombu would wait for that before it takes the next one, of which Celery knows nothing: the worker would be idle for
    ever. The message comes again an hour later, and by then its job has ended.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message."""
        try:
            super().ack(delivery_tag)
        except RedisError as error:
            virtual.QoS.ack(self, delivery_tag)
            log.warning("a message could not be acknowledged; it comes again", error=str(error))
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


def make_app(redis_url: str) -> Celery:
    """The application, on the Redis at `redis_url`. Children spawned by the worker import its tasks by name."""
    app = Celery("pirenderer", broker=kombu_url(redis_url), set_as_current=False)
    reached = broker_options(redis_url)
    app.conf.update(
        include=["worker.queue.tasks"],
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
        task_annotations={"*": {"max_retries": MAX_DELIVERIES - 1}},
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
        worker_pool=Pool,
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


def run_worker(settings: WorkerSettings) -> int:
    """Work until told to stop (SIGTERM or Ctrl-C: what is at hand is finished first). Returns the exit code."""
    # of root, which a container may be: it names an option that there is not, and no message here can carry code
    warnings.simplefilter("ignore", SecurityWarning)
    redis.Channel.QoS = Acknowledgements
    take_gpu(settings.device, settings.data_dir / "gpus")  # here, as the process that works gets our environment
    worker = make_app(settings.redis_url).Worker(
        hostname=f"pirenderer-{os.getpid()}@{socket.gethostname()}",
        queues=list(settings.queue_names),
        without_mingle=True,  # workers do not know of each other
        without_gossip=True,
        without_heartbeat=True,  # the last beat of a stop would wait for ever for a Redis that is gone
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)

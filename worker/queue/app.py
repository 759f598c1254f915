"""The Celery application of a worker, and the worker process itself."""

import os
import socket
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from kombu.transport import redis, virtual

from jobs.messages import make_celery
from worker.queue.gpus import take_gpu
from worker.settings import WorkerSettings


class Acknowledgements(redis.QoS):  # type: ignore[misc] # kombu has no types
    """Counts a message as acknowledged although Redis could not be told.

    Kombu would wait for that before it takes the next one, of which Celery knows nothing: the worker would be idle for
    ever. The message comes again an hour later, and by then its job has ended.
    """

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message. Raises redis.RedisError."""
        try:
            super().ack(delivery_tag)
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


def make_app(settings: WorkerSettings) -> Celery:
    """The application both ends share, with the tasks. Children spawned by the worker import them by name."""
    app = make_celery(settings.redis_url)
    app.conf.include = ["worker.queue.tasks"]
    return app


def run_worker(settings: WorkerSettings) -> int:
    """Work until told to stop (SIGTERM or Ctrl-C: what is at hand is finished first). Returns the exit code."""
    # of root, which a container may be: it names an option that there is not, and no message here can carry code
    warnings.simplefilter("ignore", SecurityWarning)
    redis.Channel.QoS = Acknowledgements
    take_gpu(settings.device, settings.data_dir / "gpus")  # here, as the process that works gets our environment
    worker = make_app(settings).Worker(
        hostname=f"pirenderer-{os.getpid()}@{socket.gethostname()}",
        queues=list(settings.queue_names),
        without_mingle=True,  # workers do not know of each other
        without_gossip=True,
        without_heartbeat=True,  # the last beat of a stop would wait for ever for a Redis that is gone
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)

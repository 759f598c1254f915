"""Connections to Redis: the one place where they are opened, so that each waits as long and no longer.

No call is made twice by itself: whoever asks knows whether it may be.
"""

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

ANSWER_S = 5.0  # for a connection, and then for each answer; a command that blocks adds the time that it may
IDLE_S = 30  # a connection that was not used for so long is asked whether it lives before it is used


def redis_client(url: str, **options: Any) -> Redis:
    """A client of the Redis at `url`, which connects on first use. `options` are redis-py's."""
    return Redis.from_url(url, **{**_options(Retry(NoBackoff(), 0)), **options})


def async_redis_client(url: str, **options: Any) -> AsyncRedis:
    """The same for asyncio."""
    return AsyncRedis.from_url(url, **{**_options(AsyncRetry(NoBackoff(), 0)), **options})


def blocking(seconds: float) -> float:
    """The `socket_timeout` of a client whose commands block for so many seconds at most."""
    return seconds + ANSWER_S


def _options(retry: Retry | AsyncRetry) -> dict[str, Any]:
    return {
        "socket_connect_timeout": ANSWER_S,
        "socket_timeout": ANSWER_S,
        "health_check_interval": IDLE_S,
        # what was our master and is a replica now is left: where its name leads to another, that one is found
        "retry": retry,
        "retry_on_error": [ReadOnlyError],
        # with them a connection on which an answer was left would be used again
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }

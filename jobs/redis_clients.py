"""Connections to Redis: the one place where they are opened, so that each waits as long and no longer.

No call is made twice by itself: whoever asks knows whether it may be.
"""

from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel

from jobs.redis_url import Watched, watched

ANSWER_S = 5.0  # for a connection, and then for each answer; a command that blocks adds the time that it may
IDLE_S = 30  # a connection that was not used for so long is asked whether it lives before it is used
SENTINEL_S = 1.0  # for a Sentinel; then the next is asked


class _Sentinels(Sentinel):
    """Asked where the master is by each new connection, and left again: there are few of these."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """The address of the master. Raises redis.sentinel.MasterNotFoundError, in words for a log."""
        try:
            return super().discover_master(service_name)  # type: ignore[no-any-return, no-untyped-call]
        except MasterNotFoundError as error:
            raise MasterNotFoundError(f"no Sentinel names a master of {service_name!r}") from error
        finally:
            for each in self.sentinels:
                each.connection_pool.disconnect(inuse_connections=False)  # others may be asking


class _AsyncSentinels(AsyncSentinel):
    """The same for asyncio."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """The address of the master. Raises redis.asyncio.sentinel.MasterNotFoundError, in words for a log."""
        try:
            return await super().discover_master(service_name)  # type: ignore[no-any-return]
        except AsyncMasterNotFoundError as error:
            raise AsyncMasterNotFoundError(f"no Sentinel names a master of {service_name!r}") from error
        finally:
            for each in self.sentinels:
                await each.connection_pool.disconnect(inuse_connections=False)


def redis_client(url: str, **options: Any) -> Redis:
    """A client of the Redis at `url`, which connects on first use. `options` are redis-py's."""
    options = {**_options(Retry(NoBackoff(), 0)), **options}
    if (found := watched(url)) is None:
        return Redis.from_url(url, **options)
    sentinel = _Sentinels(found.addresses, sentinel_kwargs=sentinel_options(found), **found.server, **options)  # type: ignore[no-untyped-call]
    return sentinel.master_for(found.service)  # type: ignore[no-any-return, no-untyped-call]


def async_redis_client(url: str, **options: Any) -> AsyncRedis:
    """The same for asyncio."""
    options = {**_options(AsyncRetry(NoBackoff(), 0)), **options}
    if (found := watched(url)) is None:
        return AsyncRedis.from_url(url, **options)
    sentinel = _AsyncSentinels(found.addresses, sentinel_kwargs=sentinel_options(found), **found.server, **options)  # type: ignore[no-untyped-call]
    return sentinel.master_for(found.service)  # type: ignore[no-any-return]


def blocking(seconds: float) -> float:
    """The `socket_timeout` of a client whose commands block for so many seconds at most."""
    return seconds + ANSWER_S


def sentinel_options(found: Watched) -> dict[str, Any]:
    """What clients of the Sentinels themselves are made with."""
    return {**found.sentinel, "socket_connect_timeout": SENTINEL_S, "socket_timeout": SENTINEL_S, "retry": None}


def broker_options(url: str) -> dict[str, Any]:
    """Celery's settings of how its broker, the Redis at `url`, is reached, beside kombu's address."""
    transport: dict[str, Any] = {
        "socket_connect_timeout": ANSWER_S,
        "socket_timeout": ANSWER_S,
        "socket_keepalive": True,
    }
    if (found := watched(url)) is None:
        return {"broker_transport_options": transport, "broker_use_ssl": None}
    transport |= {"master_name": found.service, "sentinel_kwargs": sentinel_options(found)}
    tls = {name: value for name, value in found.server.items() if name.startswith("ssl_")}
    return {"broker_transport_options": transport, "broker_use_ssl": tls or None}


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

"""Whether a Redis can be used, asked when something starts: what will never work is said then, in one line.

One that is merely away, or loads its data, passes: it is waited for.
"""

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from redis import Redis, RedisError
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from jobs.errors import UnusableError
from jobs.redis_clients import redis_client, sentinel_options
from jobs.redis_url import watched, without_password
from jobs.store.names import PREFIX

OLDEST = (6, 2)
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PROBE = "redis.call('SET', KEYS[1], 1, 'PX', 1) return 1"


class UnusableRedisError(UnusableError):
    """The Redis at an address can never be used; the text is one line that says why, and has no password."""


def check_redis(url: str) -> None:
    """Ask the Redis at an address, if it answers, whether it can be used. Raises UnusableRedisError."""
    with contextlib.suppress(RedisError):
        redis_facts(url)


def redis_facts(url: str) -> dict[str, Any]:
    """What the Redis at an address says of itself, after a write of ours.

    Raises UnusableRedisError, and redis.RedisError when it does not answer, or takes no writes just now.
    """
    for why in (*_unreadable(url), *_sentinel_faults(url)):
        raise _unusable(url, why)
    try:
        with redis_client(url, decode_responses=True) as client:
            facts: dict[str, Any] = client.info()
            faults = list(_faults(facts))
            if not faults:
                client.eval(PROBE, 1, f"{PREFIX}probe")
    except RedisError as error:
        if lasting := _lasting(error):
            raise _unusable(url, lasting) from error
        raise
    for why in faults:
        raise _unusable(url, why)
    return facts


def _unusable(url: str, why: str) -> UnusableRedisError:
    return UnusableRedisError(f"PIRENDERER_REDIS_URL: {why}, got {without_password(url)!r}")


def _unreadable(url: str) -> Iterator[str]:
    for name, path in parse_qsl(urlsplit(url).query):
        if name in FILES:
            try:
                Path(path).open("rb").close()
            except OSError as error:
                yield f"{name} cannot be read: {error.strerror}"


def _sentinel_faults(url: str) -> Iterator[str]:
    if (found := watched(url)) is None:
        return
    for host, port in found.addresses:
        at = f"the Sentinel at {host}:{port}"
        with Redis(host, port, **sentinel_options(found)) as client:
            try:
                services: Mapping[str, Any] = client.sentinel_masters()
            except (AuthenticationError, NoPermissionError) as error:
                yield f"{at} wants a name and password (sentinel_username, sentinel_password): {error}"
            except ResponseError as error:
                yield f"{at} is none: {error}"
            except RedisError as error:
                if lasting := _lasting(error):
                    yield f"{at}: {lasting}"
            else:
                if found.service not in services:
                    known = ", ".join(services) or "none"
                    yield f"{at} knows no service {found.service!r}; it knows {known}"


def _faults(facts: Mapping[str, Any]) -> Iterator[str]:
    if "sentinel" in (facts.get("redis_mode"), facts.get("server_mode")):
        yield "it is a Sentinel; the address of a Redis that it watches is sentinel://HOST:PORT/0?service=NAME"
    if facts.get("cluster_enabled"):
        yield "it is a Redis Cluster, whose nodes hold a part of the keys each; take one that is none"
    if facts.get("role") == "slave":
        master = f"{facts.get('master_host')}:{facts.get('master_port')}"
        yield f"it is a replica, which takes no writes; its master is {master}"
    version = str(facts.get("redis_version", ""))
    numbers = tuple(int(each) for each in version.split(".")[:2] if each.isdigit())
    if numbers and numbers < OLDEST:
        yield f"it is Redis {version}; it must be {'.'.join(map(str, OLDEST))} or newer, or Valkey"


def _lasting(error: BaseException) -> str | None:
    """Why an error is one that stays; None for one that may pass."""
    text = str(error)
    if isinstance(error, AuthenticationError):
        return f"it does not let us in: {text.rstrip('.')}; name and password stand before an '@'"
    if isinstance(error, NoPermissionError):
        return f"its user may not do all that is needed: {text}; docs/operations/redis.md has the rights of such a user"
    if text.startswith("DENIED"):
        return "it is in protected mode and lets only its own machine in; give it a password (requirepass)"
    if "DB index is out of range" in text:
        return "it has no database of this number"
    return _tls_fault(error)


def _tls_fault(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not believed: {error.verify_message}"
        if isinstance(error, ssl.SSLError):
            return f"no TLS with it: {error.reason or error}"
        error = error.__cause__ or error.__context__
    return None

"""Where Redis is: one address, checked once, and written as each library wants it."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic_core import PydanticCustomError

ALLOWED = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss://, unix://[USER:PASSWORD@]/PATH[?db=DB], or "
    "sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT],…[/DB]?service=NAME, the same with sentinels://; "
    "in a password # is written %23, / %2F, ? %3F, @ %40 and % %25"
)
LONGEST_SOCKET_PATH = 107  # bytes, see unix(7)
SENTINEL_PORT = 26379
NUMBER = r"\d{1,4}"
ANY = r".+"
TLS = {
    "ssl_ca_certs": ANY,
    "ssl_certfile": ANY,
    "ssl_keyfile": ANY,
    "ssl_cert_reqs": "none|optional|required",
    "ssl_check_hostname": "true|false",
}
WATCHED = {"service": r"[\w.-]+", "sentinel_username": ANY, "sentinel_password": ANY}
QUERIES: Mapping[str, Mapping[str, str]] = {
    "redis": {},
    "rediss": TLS,
    "unix": {"db": NUMBER},
    "sentinel": WATCHED,
    "sentinels": {**WATCHED, **TLS},
}


@dataclass(frozen=True)
class Watched:
    """A Redis that Sentinels watch, which say under the name of its service where it is just now.

    `sentinel` and `server` are what redis-py is to know of either beside its address.
    """

    service: str
    addresses: tuple[tuple[str, int], ...]
    sentinel: Mapping[str, Any]
    server: Mapping[str, Any]


def checked_redis_url(url: str) -> str:
    """The address, as `jobs.redis_clients` takes it. Raises PydanticCustomError, in which there is no password."""
    for why in _faults(url):
        facts = {"why": why, "allowed": ALLOWED, "got": without_password(url)}
        raise PydanticCustomError("redis_url", "{why}; allowed is {allowed}", facts)
    return url


def without_password(url: str) -> str:
    """An address, or what was meant to be one, as it may be shown."""
    shown = re.sub(r"^(\w*://)?.*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"(?<=://:)[^@/]+|(?<=password=)[^&]+", "***", shown)


def watched(url: str) -> Watched | None:
    """What an address of Sentinels says; None where it is another's."""
    parts = urlsplit(url)
    if parts.scheme not in ("sentinel", "sentinels"):
        return None
    query = dict(parse_qsl(parts.query))
    tls: dict[str, Any] = {name: value for name, value in query.items() if name in TLS}
    if parts.scheme == "sentinels":
        tls |= {"ssl": True, "ssl_check_hostname": query.get("ssl_check_hostname") != "false"}
    user, password = _login(parts)
    return Watched(
        service=query["service"],
        addresses=tuple((each.hostname or "", each.port or SENTINEL_PORT) for each in _hosts(parts)),
        sentinel={**_given(query.get("sentinel_username"), query.get("sentinel_password")), **tls},
        server={**_given(unquote(user), unquote(password)), **tls, "db": int(parts.path.strip("/") or 0)},
    )


def kombu_url(url: str) -> str:
    """The address for Kombu, which carries Celery's messages. Of a Redis that is watched it takes a part as options."""
    parts = urlsplit(url.replace(";", "%3B"))  # which it takes for the end of an address
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={query.get('db', '0')}"
    if parts.scheme == "rediss":  # by itself it would believe any certificate
        return parts._replace(query=urlencode({"ssl_cert_reqs": "required", **query}, quote_via=quote)).geturl()
    if parts.scheme in ("sentinel", "sentinels"):
        login = parts.netloc[: parts.netloc.rfind("@") + 1]
        return ";".join(
            f"sentinel://{login}{each.netloc if each.port else f'{each.netloc}:{SENTINEL_PORT}'}{parts.path or '/0'}"
            for each in _hosts(parts)
        )
    return url.replace(";", "%3B")


def _faults(url: str) -> Iterator[str]:
    """What is wrong with an address, in words that repeat nothing of it; only the first is sure to be true."""
    if not url.isprintable() or " " in url:
        yield "it has a space or a control character"
    if "://" not in url:
        yield "it has no scheme"
    try:
        parts = urlsplit(url)
        hosts = _hosts(parts)
        _ = [(each.hostname, each.port) for each in hosts]
    except ValueError:
        yield "its host is no address or its port no number up to 65535"
        return
    if parts.scheme not in QUERIES:
        yield f"its scheme is none of {', '.join(QUERIES)}"
    if "#" in url:
        yield "it has a '#'"
    yield from _path_faults(parts) if parts.scheme == "unix" else _host_faults(parts, hosts)
    allowed = QUERIES[parts.scheme]
    given = parse_qsl(parts.query, keep_blank_values=True)
    for name, value in given:
        if name not in allowed:
            yield f"after the '?' may stand {', '.join(allowed) or 'nothing'}"
        if not re.fullmatch(allowed[name], value):
            yield f"{name} does not match {allowed[name]}"
    if "service" in allowed and "service" not in dict(given):
        yield "it has no ?service=NAME, by which the Sentinels know the Redis"


def _path_faults(parts: SplitResult) -> Iterator[str]:
    path = os.fsencode(unquote(parts.path))
    if parts.hostname or not path.strip(b"/"):
        yield "it has no absolute path"
    if len(path) > LONGEST_SOCKET_PATH:
        yield f"its path has {len(path)} bytes, and a socket's at most {LONGEST_SOCKET_PATH}"


def _host_faults(parts: SplitResult, hosts: list[SplitResult]) -> Iterator[str]:
    for host in hosts:
        if not host.hostname:
            yield "it has no host"
        elif "," in host.hostname:
            yield "it has several hosts, which those of Sentinels alone may"
        if host.port == 0:
            yield "its port is 0"
    if not re.fullmatch(f"/?|/{NUMBER}", parts.path):
        yield "its database is not a number"


def _hosts(parts: SplitResult) -> list[SplitResult]:
    """Where a server may be, each as an address of its own; several where Sentinels are. Raises ValueError."""
    if parts.scheme not in ("sentinel", "sentinels"):
        return [parts]
    return [urlsplit(f"//{each}") for each in parts.netloc.rpartition("@")[2].split(",")]


def _login(parts: SplitResult) -> tuple[str, str]:
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return user, password


def _given(username: str | None, password: str | None) -> dict[str, str]:
    return {name: value for name, value in (("username", username), ("password", password)) if value}

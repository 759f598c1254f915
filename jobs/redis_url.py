"""Where Redis is: one address, checked once, and written as each library wants it."""

import os
import re
from collections.abc import Iterator
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from pydantic_core import PydanticCustomError

ALLOWED = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DB], the same with rediss://, or unix://[USER:PASSWORD@]/PATH[?db=DB]; "
    "in a password # is written %23, / %2F, ? %3F, @ %40 and % %25"
)
LONGEST_SOCKET_PATH = 107  # bytes, see unix(7)
NUMBER = r"\d{1,4}"
FILE = r".+"
QUERIES = {
    "redis": {},
    "rediss": {
        "ssl_ca_certs": FILE,
        "ssl_certfile": FILE,
        "ssl_keyfile": FILE,
        "ssl_cert_reqs": "none|optional|required",
        "ssl_check_hostname": "true|false",
    },
    "unix": {"db": NUMBER},
}


def checked_redis_url(url: str) -> str:
    """The address, as redis-py takes it. Raises PydanticCustomError, in which there is no password."""
    for why in _faults(url):
        facts = {"why": why, "allowed": ALLOWED, "got": without_password(url)}
        raise PydanticCustomError("redis_url", "{why}; allowed is {allowed}", facts)
    return url


def without_password(url: str) -> str:
    """An address, or what was meant to be one, as it may be shown."""
    shown = re.sub(r"^(\w*://)?.*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"(?<=://:)[^@/]+|(?<=password=)[^&]+", "***", shown)


def kombu_url(url: str) -> str:
    """The address for Kombu, which carries Celery's messages."""
    parts = urlsplit(url.replace(";", "%3B"))  # which it takes for the end of an address
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={query.get('db', '0')}"
    if parts.scheme == "rediss":  # by itself it would believe any certificate
        return parts._replace(query=urlencode({"ssl_cert_reqs": "required", **query}, quote_via=quote)).geturl()
    return url.replace(";", "%3B")


def _faults(url: str) -> Iterator[str]:
    """What is wrong with an address, in words that repeat nothing of it; only the first is sure to be true."""
    if not url.isprintable() or " " in url:
        yield "it has a space or a control character"
    if "://" not in url:
        yield "it has no scheme"
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError:
        yield "its host is no address or its port no number up to 65535"
        return
    if parts.scheme not in QUERIES:
        yield f"its scheme is none of {', '.join(QUERIES)}"
    if "#" in url:
        yield "it has a '#'"
    yield from _path_faults(parts) if parts.scheme == "unix" else _host_faults(parts)
    allowed = QUERIES[parts.scheme]
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in allowed:
            yield f"after the '?' may stand {', '.join(allowed) or 'nothing'}"
        if not re.fullmatch(allowed[name], value):
            yield f"{name} does not match {allowed[name]}"


def _path_faults(parts: SplitResult) -> Iterator[str]:
    path = os.fsencode(unquote(parts.path))
    if parts.hostname or not path.strip(b"/"):
        yield "it has no absolute path"
    if len(path) > LONGEST_SOCKET_PATH:
        yield f"its path has {len(path)} bytes, and a socket's at most {LONGEST_SOCKET_PATH}"


def _host_faults(parts: SplitResult) -> Iterator[str]:
    if not parts.hostname:
        yield "it has no host"
    if parts.port == 0:
        yield "its port is 0"
    if not re.fullmatch(f"/?|/{NUMBER}", parts.path):
        yield "its database is not a number"

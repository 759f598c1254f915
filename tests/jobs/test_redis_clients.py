"""Every client of Redis reaches it in each of the forms that an address may have."""

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from jobs.kinds import KINDS
from jobs.messages import task_name, waiting_messages
from jobs.redis_clients import async_redis_client, redis_client
from jobs.schemas import JobKind
from tests.support.certificates import make_chain
from tests.support.redis_servers import RedisServer, TlsEnd, running, write_tls
from worker.queue.app import make_app

SECRET = "p%ss/w#rd;?@"
QUOTED = "p%25ss%2Fw%23rd%3B%3F%40"


@pytest.fixture
def urls(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Addresses of one and the same database. Where TLS is spoken the Sentinel is made to name its end."""
    socket = tmp_path / "r.sock"
    server = RedisServer(tmp_path / "redis", "--unixsocket", str(socket), password=SECRET)
    orders = (f"sentinel monitor ours 127.0.0.1 {server.port} 1", f'sentinel auth-pass ours "{SECRET}"')
    sentinel = RedisServer(tmp_path / "sentinel", *orders, password="watch", sentinel=True)
    chain, key, authority = write_tls(tmp_path / "tls", make_chain(server="localhost"))
    tls = f"ssl_ca_certs={authority}"
    watch = "service=ours&sentinel_password=watch"
    with running(server, sentinel), contextlib.ExitStack() as stack:
        redis_end = stack.enter_context(contextlib.closing(TlsEnd(server.port, chain, key)))
        ours, its = str(server.port).encode(), str(redis_end.port).encode()
        assert len(ours) == len(its)
        told = TlsEnd(sentinel.port, chain, key, answers=lambda data: data.replace(ours, its))
        stack.enter_context(contextlib.closing(told))
        yield {
            "plain": f"redis://:{QUOTED}@127.0.0.1:{server.port}/7",
            "TLS": f"rediss://:{QUOTED}@localhost:{redis_end.port}/7?{tls}",
            "socket": f"unix://:{QUOTED}@{socket}?db=7",
            "Sentinels": f"sentinel://:{QUOTED}@127.0.0.1:1,127.0.0.1:{sentinel.port}/7?{watch}",
            # it tells an address, which is not in the certificate
            "Sentinels by TLS": f"sentinels://:{QUOTED}@localhost:{told.port}/7?{watch}&{tls}&ssl_check_hostname=false",
        }


def test_all_of_them_reach_the_same_database(urls: dict[str, str]) -> None:
    for number, (form, url) in enumerate(urls.items(), 1):
        with redis_client(url, decode_responses=True) as client:
            client.set(form, url)
            assert asyncio.run(read(url, form)) == url, form
            send_by_celery(url)
            assert waiting_messages(client, JobKind.IMAGE) == number, form
    with redis_client(urls["plain"], decode_responses=True) as client:
        assert {form for form in urls if client.get(form)} == set(urls)


def test_many_may_ask_the_sentinels_at_once(urls: dict[str, str]) -> None:
    async def ask() -> list[bool]:
        async with async_redis_client(urls["Sentinels"]) as client:
            return await asyncio.gather(*(client.ping() for _ in range(50)))

    assert asyncio.run(ask()) == [True] * 50
    with redis_client(urls["Sentinels"]) as client, ThreadPoolExecutor(20) as threads:
        assert all(threads.map(lambda _: client.ping(), range(100)))


@pytest.mark.parametrize(
    ("form", "why"),
    [("TLS", "certificate verify failed"), ("Sentinels by TLS", "no Sentinel names a master of 'ours'")],
)
def test_none_believes_any_certificate(urls: dict[str, str], form: str, why: str, tmp_path: Path) -> None:
    _, _, other = write_tls(tmp_path / "other", make_chain(server="localhost"))
    ours, _, end = urls[form].partition("ssl_ca_certs=")
    url = f"{ours}ssl_ca_certs={other}{''.join(end.partition('&')[1:])}"
    with redis_client(url) as client, pytest.raises(RedisConnectionError, match=why):
        client.ping()
    with pytest.raises(RedisConnectionError, match=why):
        asyncio.run(read(url, "x"))
    with pytest.raises(OperationalError):
        send_by_celery(url)


async def read(url: str, key: str) -> str:
    async with async_redis_client(url, decode_responses=True) as client:
        return str(await client.get(key))


def send_by_celery(url: str) -> None:
    """Send a message over the connection that Celery's workers have."""
    with make_app(url) as celery:
        celery.send_task(task_name(JobKind.IMAGE), args=["0" * 32], queue=KINDS[JobKind.IMAGE].queue, retry=False)

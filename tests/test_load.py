"""The clients of `benchmarks/load` ask for what its tables say."""

import asyncio
import os
from unittest.mock import patch

import pytest
from redis import Redis

from benchmarks.load.__main__ import KEY, PORTRAIT, service
from benchmarks.load.clients import Clients, as_fast_as_it_goes, listening
from service.settings import Settings

FOLLOWED = 2 + int(Settings.model_fields["follow_share"].default)


@pytest.mark.slow
def test_all_streams_of_events_are_let_in() -> None:
    """Each that is refused would ask again and again, which is another load than the one that is measured."""

    async def refused(url: str, redis: Redis) -> int:
        async with Clients(url, KEY, PORTRAIT) as clients:
            await as_fast_as_it_goes(clients.submit_by_id, clients=8, count=FOLLOWED)
            async with asyncio.timeout(60), listening(clients, FOLLOWED, []):
                while redis.info("clients")["blocked_clients"] + clients.unfollowed < FOLLOWED:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                return clients.unfollowed

    with patch.dict(os.environ), service() as (url, settings), Redis.from_url(settings.redis_url) as redis:
        assert asyncio.run(refused(url, redis)) == 0

"""Messages that are posted to addresses which clients name."""

import asyncio
from collections.abc import Mapping

from service.outbound.guard import CONNECT_S, guarded_pool


class Poster:
    """Posts bodies and says what status came; answers' bodies are not read. `private`: to private addresses too."""

    def __init__(self, *, private: bool, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pool = guarded_pool(private=private)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer. Raises TimeoutError, BlockedAddressError, OSError or httpcore's errors."""
        limits = {**dict.fromkeys(("read", "write"), self._timeout_s), "connect": min(CONNECT_S, self._timeout_s)}
        async with (
            asyncio.timeout(self._timeout_s),
            self._pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": limits}
            ) as got,
        ):
            return int(got.status)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

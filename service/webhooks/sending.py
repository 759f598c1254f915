"""Sends one message to an address that a client named: signed, timed, and with a reason where no answer came."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from jobs.webhooks import Attempt
from service.outbound.guard import BlockedAddressError
from service.outbound.posting import Poster
from service.outbound.reasons import reason
from service.webhooks.signing import WebhookSigner

log = structlog.get_logger(__name__)

GONE = 410
LATE = "no answer came in time"


@dataclass(frozen=True)
class Answer:
    """What came of a message. `blocked`: its address is none that messages may go to."""

    attempt: Attempt
    blocked: bool = False

    @property
    def taken(self) -> bool:
        """Whether the receiver has it."""
        return self.attempt.status is not None and 200 <= self.attempt.status < 300

    @property
    def final(self) -> bool:
        """Whether it is in vain to send it again."""
        return self.blocked or self.attempt.status == GONE


class WebhookSender:
    """Signs messages and posts them. `private`: to private addresses too."""

    def __init__(self, signer: WebhookSigner, *, private: bool, timeout_s: float) -> None:
        self._signer = signer
        self._poster = Poster(private=private, timeout_s=timeout_s)

    async def send(self, owner: str, url: str, message_id: str, body: bytes) -> Answer:
        """Send a message in an owner's name. Raises SecretAwayError where it cannot be signed."""
        at, began = datetime.now(UTC), time.perf_counter()
        headers = self._signer.headers(owner, message_id, int(at.timestamp()), body)
        headers |= {"content-type": "application/json", "user-agent": "PIRenderer-Webhooks/1.0"}
        status, trouble = None, None
        try:
            status = await self._poster.post(url, headers, body)
        except Exception as error:  # whatever it is, it was an attempt
            trouble = error
            log.info("a webhook got no answer", message=message_id, error=f"{type(error).__name__}: {error}")
        seconds = round(time.perf_counter() - began, 3)
        attempt = Attempt(at=at, status=status, error=reason(trouble, late=LATE) if trouble else None, seconds=seconds)
        return Answer(attempt, blocked=isinstance(trouble, BlockedAddressError))

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()

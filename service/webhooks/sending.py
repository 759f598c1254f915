"""Sends one message to an address that a client named: signed, timed, and with a reason where no answer came."""

import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import httpcore
import structlog

from jobs.webhooks import Attempt
from service.outbound.guard import BlockedAddressError, UnknownHostError
from service.outbound.posting import Poster
from service.webhooks.signing import WebhookSigner

log = structlog.get_logger(__name__)

GONE = 410
# The first that fits an error, or what it came from
REASONS: dict[type[Exception], str] = {
    BlockedAddressError: "the host's name leads to an address that is not public",
    UnknownHostError: "the host's name is not known",
    ssl.SSLError: "the host does not speak TLS as it has to",
    TimeoutError: "no answer came in time",
    httpcore.TimeoutException: "no answer came in time",
    httpcore.ConnectError: "no connection could be made",
    httpcore.ProtocolError: "no HTTP answer came",
    httpcore.NetworkError: "the connection broke off",
    Exception: "the message could not be sent",
}


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
        """Send a message in an owner's name. Raises SecretAwayError or OSError where it cannot be signed."""
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
        attempt = Attempt(at=at, status=status, error=None if trouble is None else reason(trouble), seconds=seconds)
        return Answer(attempt, blocked=isinstance(trouble, BlockedAddressError))

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


def reason(error: Exception) -> str:
    """Why no answer came, for who named the address: it does not tell which addresses its host's name led to."""
    origin = error.__context__  # httpcore cuts the cause off
    if isinstance(origin, ssl.SSLCertVerificationError):
        return f"the host's certificate is not valid: {origin.verify_message}"[:100]
    return next(text for kind, text in REASONS.items() if isinstance(error, kind) or isinstance(origin, kind))

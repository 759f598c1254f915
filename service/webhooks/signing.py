"""Webhooks by Standard Webhooks 1.0 (www.standardwebhooks.com): what is sent of a job, and its signature."""

import base64
import hashlib
import hmac
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.problems import ProblemType
from jobs.schemas import Job
from jobs.webhooks import Webhook, WebhookEvent
from service.http.problems import ProblemError, validation_error
from service.outbound.guard import ALLOWED, checked_parts
from service.secret import ServiceSecret

MAX_WEBHOOK_BYTES = 4096


class WebhookSigner:
    """Signs with a secret of each owner's own, derived from one key in the data folder that all front-ends share."""

    def __init__(self, path: Path) -> None:
        self._secret = ServiceSecret(path)

    def secret(self, owner: str) -> str:
        """What an owner verifies signatures with."""
        return "whsec_" + base64.b64encode(self._secret.derive(f"webhooks:{owner}")).decode()

    def headers(self, owner: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers of one delivery."""
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.secret(owner), message_id, timestamp, body),
        }


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message: HMAC-SHA256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def payload(event: str, at: datetime, data: dict[str, Any]) -> bytes:
    """The body of a message about what happened at a time."""
    return json.dumps({"type": event, "timestamp": at.isoformat().replace("+00:00", "Z"), "data": data}).encode()


def job_payload(event: WebhookEvent, job: Job) -> bytes:
    """The body of a message about a job: the same bytes at every attempt."""
    at = job.finished_at or job.started_at or job.created_at
    return payload(event.value, at, job.model_dump(mode="json", exclude={"webhook"}, exclude_none=True))


def parse_webhook(text: str | bytes, *, private: bool) -> Webhook:
    """Read the `webhook` field. `private`: plain HTTP and private addresses are allowed. Raises ProblemError."""
    try:
        webhook = Webhook.model_validate_json(text)
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_WEBHOOK, error, where="webhook") from error
    try:
        checked_parts(webhook.url, private=private)
    except ValueError as error:
        raise _bad_url(webhook.url, str(error), private=private) from error
    return webhook


def _bad_url(url: str, why: str, *, private: bool) -> ProblemError:
    allowed = ALLOWED[private]
    return ProblemError(
        ProblemType.INVALID_WEBHOOK,
        f"webhook.url is {url[:200]!r}: {why}; allowed is {allowed}",
        got=url,
        allowed=allowed,
    )

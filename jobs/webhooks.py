"""Webhooks as both ends see them: what is told to whom, and what came of it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from jobs.documents import Document


class WebhookEvent(StrEnum):
    """What a webhook can tell of: that a worker took the job for the first time, or how the job ended."""

    STARTED = "job.started"
    SUCCEEDED = "job.succeeded"
    FAILED = "job.failed"
    CANCELED = "job.canceled"


ENDS = (WebhookEvent.SUCCEEDED, WebhookEvent.FAILED, WebhookEvent.CANCELED)


class Webhook(Document):
    """Where to post to when one of `events` happens to the job; unset, they are its ends.

    Messages are signed as Standard Webhooks 1.0 says.
    """

    url: Annotated[str, Field(min_length=1, max_length=2048)]
    events: Annotated[tuple[WebhookEvent, ...], Field(min_length=1, max_length=len(WebhookEvent), fail_fast=True)] = (
        ENDS
    )


Outcome = Literal["delivered", "pending", "failed"]


class Attempt(Document):
    """What came of sending a message once."""

    at: Annotated[datetime, Field(description="When it was sent")]
    status: Annotated[int | None, Field(description="HTTP status of the answer; null where none came")]
    error: Annotated[str | None, Field(description="Why no answer came")]
    seconds: Annotated[float, Field(description="How long it took")]


class WebhookAttempt(Attempt):
    """An attempt to tell of a job."""

    event: WebhookEvent
    attempt: Annotated[int, Field(description="Counts those of this message, from 1")]
    outcome: Annotated[Outcome, Field(description="pending: it is sent again; failed: given up")]


class WebhookDelivery(WebhookAttempt):
    """An attempt to tell of a job, with the job and the address."""

    job_id: str
    url: str


class WebhookState(Webhook):
    """A webhook and how far telling of the job's end is: skipped where the end was none of its events.

    `deliveries` are the latest attempts of all its messages, the newest last.
    """

    status: Literal["pending", "delivered", "failed", "skipped"] = "pending"
    attempts: int = 0
    deliveries: tuple[WebhookAttempt, ...] = ()

"""/v1/webhooks: what they are signed with, what became of them, and a test of one."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from jobs.files.keys import new_id
from jobs.webhooks import Attempt, WebhookDelivery
from service.access.throttle import UnderwayError
from service.context import ContextDep, ReaderDep, WriterDep
from service.http.openapi import access_responses
from service.intake.admission import underway_bound_reached
from service.intake.bodies import arriving, bounded
from service.webhooks.signing import MAX_WEBHOOK_BYTES, parse_webhook, payload

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

TEST_EVENT: Literal["webhook.test"] = "webhook.test"
TEST_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Webhook"}}},
    "description": "As the field `webhook` of a job; its events play no part",
}
TEST_RESPONSES: dict[int | str, dict[str, Any]] = access_responses(
    s400="The body is not JSON",
    s408="The body took too long to arrive",
    s413="The body is too large",
    s422="The webhook is not valid",
)


class WebhookSecret(BaseModel):
    """A secret in the form of Standard Webhooks: `whsec_` and base64."""

    secret: str


class WebhookDeliveries(BaseModel):
    """The last attempts to send the caller's messages, newest first: at most 100, kept as long as an ended job."""

    deliveries: list[WebhookDelivery]


class WebhookTest(Attempt):
    """What came of a message that was sent for a test. It is not sent again, and not among the deliveries."""

    event: Literal["webhook.test"] = TEST_EVENT
    message_id: Annotated[str, Field(description="Its header `webhook-id`")]
    url: str
    outcome: Literal["delivered", "failed"]


@router.get("/secret", responses=access_responses())
def read_webhook_secret(response: Response, context: ContextDep, caller: WriterDep) -> WebhookSecret:
    """The caller's own secret: it verifies `webhook-signature` as Standard Webhooks 1.0 says."""
    response.headers["Cache-Control"] = "no-store"
    return WebhookSecret(secret=context.signer.secret(caller.owner))


@router.get("/deliveries", responses=access_responses())
def list_webhook_deliveries(
    context: ContextDep,
    caller: ReaderDep,
    job: Annotated[str | None, Query(max_length=64, description="Id of the only job to tell of")] = None,
) -> WebhookDeliveries:
    """What became of the caller's latest webhooks: each attempt with its answer, and whether there will be another."""
    found = context.store.webhooks.deliveries(caller.owner, kept_s=context.settings.retention_s)
    return WebhookDeliveries(deliveries=[each for each in found if job in (None, each.job_id)])


@router.post("/test", responses=TEST_RESPONSES, openapi_extra={"requestBody": TEST_BODY})
async def send_test_webhook(request: Request, context: ContextDep, caller: WriterDep) -> WebhookTest:
    """Send a signed message of the type `webhook.test` at once, once, and tell what came of it.

    A receiver that refuses it, or is not there, is an answer as well. A key may send 10 a minute, an owner two at once.
    """
    timeout_s = context.settings.upload_timeout_s
    with arriving(timeout_s):
        async with asyncio.timeout(timeout_s):
            body = b"".join([chunk async for chunk in bounded(request, MAX_WEBHOOK_BYTES)])
    webhook = parse_webhook(body, private=context.settings.webhook_private)
    try:
        with context.probes.one(caller.owner):
            await context.charge(caller, caller.webhook_test_charges())
            message_id = f"msg_test_{new_id()}"
            message = payload(TEST_EVENT, datetime.now(UTC), {"note": "A test: no job has started or ended."})
            answer = await context.sender.send(caller.owner, webhook.url, message_id, message)
    except UnderwayError as error:
        raise underway_bound_reached(context, error, "tests of webhooks") from error
    return WebhookTest(
        message_id=message_id,
        url=webhook.url,
        outcome="delivered" if answer.taken else "failed",
        **dict(answer.attempt),
    )

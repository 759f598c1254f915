"""Delivers webhooks beside the API: each is sent again after growing pauses until it is taken or given up."""

import asyncio
import ssl
import time

import httpcore
import structlog
from redis import RedisError
from starlette.concurrency import run_in_threadpool

from service.context import Context
from service.jobs.records import JobRecord
from service.outbound import BlockedAddressError, Poster
from service.submissions import public_job
from service.webhooks import EVENTS, payload

log = structlog.get_logger(__name__)

POLL_S = 0.5
AT_ONCE = 50
GONE = 410


async def deliver_webhooks(context: Context) -> None:
    """Until cancelled. Several front-ends may run it at once: each message is lent to one of them at a time."""
    settings = context.settings
    poster = Poster(private=settings.webhook_private, timeout_s=settings.webhook_timeout_s)
    lease_s = 2 * settings.webhook_timeout_s
    try:
        while True:
            due: list[str] = []
            try:
                due = await run_in_threadpool(context.store.due_webhooks, AT_ONCE, lease_s=lease_s)
                await asyncio.gather(*(_deliver(context, poster, job_id) for job_id in due))
            except RedisError as error:
                log.warning("webhooks could not be looked up; it will be tried again", error=str(error))
            except Exception:  # a fault of ours must not end it
                log.exception("delivering webhooks failed unexpectedly; it will be tried again")
            if len(due) < AT_ONCE:
                await asyncio.sleep(POLL_S)
    finally:
        await poster.close()


async def _deliver(context: Context, poster: Poster, job_id: str) -> None:
    record = await run_in_threadpool(context.store.get, job_id)
    event = EVENTS.get(record.status) if record is not None else None
    if record is None or record.webhook is None or event is None or event not in record.webhook.events:
        await run_in_threadpool(context.store.end_webhook, job_id, "skipped")
        return
    body = payload(event, public_job(context, record))
    headers = context.signer.headers(record.owner, f"msg_{job_id}", int(time.time()), body)
    headers |= {"content-type": "application/json", "user-agent": "PIRenderer-Webhooks/1.0"}
    status, trouble = None, ""
    try:
        status = await poster.post(record.webhook.url, headers, body)
    except BlockedAddressError as error:
        log.warning("a webhook was not sent", job_id=job_id, error=str(error))
        await run_in_threadpool(context.store.end_webhook, job_id, "failed")
        return
    except (TimeoutError, OSError, ssl.SSLError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        trouble = f"{type(error).__name__}: {error}"
    except httpcore.TimeoutException as error:
        trouble = type(error).__name__
    await _note(context, record, status, trouble)


async def _note(context: Context, record: JobRecord, status: int | None, trouble: str) -> None:
    assert record.webhook is not None  # noqa: S101 - it was sent
    attempts = record.webhook.attempts + 1
    facts = {"job_id": record.id, "attempt": attempts, "status": status, "error": trouble or None}
    pauses = context.settings.webhook_backoff
    if status is not None and 200 <= status < 300:
        log.info("webhook delivered", **facts)
        await run_in_threadpool(context.store.end_webhook, record.id, "delivered")
    elif status == GONE or attempts > len(pauses):
        log.warning("webhook given up", **facts)
        await run_in_threadpool(context.store.end_webhook, record.id, "failed")
    else:
        log.info("webhook not taken; it will be sent again", **facts, pause_s=pauses[attempts - 1])
        await run_in_threadpool(context.store.retry_webhook, record.id, after_s=pauses[attempts - 1])

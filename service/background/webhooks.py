"""Delivers webhooks beside the API: each is sent again after growing pauses until it is taken or given up."""

import asyncio
import contextlib
from collections import Counter
from urllib.parse import urlsplit

import structlog
from redis import RedisError
from starlette.concurrency import run_in_threadpool

from jobs import tracing
from jobs.schemas import JobStatus
from jobs.store.records import JobRecord
from jobs.store.webhooks import Message
from jobs.webhooks import Outcome, WebhookAttempt, WebhookEvent
from service.context import Context
from service.http.addresses import public_job
from service.secret import SecretAwayError
from service.webhooks.sending import Answer
from service.webhooks.signing import job_payload

log = structlog.get_logger(__name__)

# Under way at once: of all, to one host, and of one owner. A receiver that takes connections and says nothing holds
# each until its time is up; the bounds are what it can so hold of what is the others'.
AT_ONCE = 100
HOST_AT_ONCE = 16
OWNER_AT_ONCE = 4
HOST_BUSY_S = 5.0  # then one whose host had its share already is looked at again


async def deliver_webhooks(context: Context) -> None:
    """Until cancelled. Several front-ends may run it at once: each message is lent to one of them at a time."""
    await _Deliveries(context).run()


class _Deliveries:
    """Those under way at this front-end, each a task of its own."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lease_s = 2 * context.settings.webhook_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._owners: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._ended = asyncio.Event()
        self._away = False

    async def run(self) -> None:
        """Begin what is due, whenever there is room for it."""
        try:
            while True:
                self._ended.clear()
                if not await self._begin_due():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._context.settings.webhook_poll_s):
                            await self._ended.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin_due(self) -> bool:
        """Whether anything was due."""
        room = AT_ONCE - len(self._tasks)
        if not room:
            return False
        try:
            due = await run_in_threadpool(
                self._context.store.webhooks.due,
                room,
                lease_s=self._lease_s,
                owner_most=OWNER_AT_ONCE,
                under_way=dict(self._owners),
            )
        except RedisError as error:
            if not self._away:  # it is said once, and not at every look
                log.warning("Redis does not answer; it is asked again until it does", error=str(error))
            self._away = True
            return False
        except Exception:  # a fault of ours must not end it
            log.exception("looking for webhooks failed unexpectedly; it will be tried again")
            return False
        if self._away:
            log.info("Redis answers again")
        self._away = False
        for message in due:
            self._owners[message.owner] += 1
            task = asyncio.create_task(self._deliver(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(due)

    async def _deliver(self, message: Message) -> None:
        try:
            await self._attempt(message)
        except (RedisError, SecretAwayError) as error:  # when the lease has lapsed it is due again
            log.warning("a webhook could not be looked up, signed or noted", job_id=message.job_id, error=str(error))
        except Exception:  # a fault of ours
            log.exception("delivering a webhook failed unexpectedly", job_id=message.job_id)
        finally:
            self._owners -= Counter((message.owner,))
            self._ended.set()

    async def _attempt(self, message: Message) -> None:
        store = self._context.store
        record = await run_in_threadpool(store.get, message.job_id)
        event = None if record is None else _event(message, record)
        if record is None or record.webhook is None or event is None or event not in record.webhook.events:
            await run_in_threadpool(store.webhooks.end, message, "skipped")
            return
        url = record.webhook.url
        host = urlsplit(url).hostname or ""
        if self._hosts[host] >= HOST_AT_ONCE:
            await run_in_threadpool(store.webhooks.put_off, message, after_s=HOST_BUSY_S)
            return
        self._hosts[host] += 1
        try:
            if message.start:
                record = record.at_start()
            body = job_payload(event, public_job(record, record.base_url or self._context.settings.base))
            message_id = f"msg_{message.job_id}" + ("_started" if message.start else "")
            facts: dict[str, str | int] = {
                "pirenderer.job.id": message.job_id,
                "pirenderer.event": event.value,
                "pirenderer.attempt": message.attempts + 1,
                "http.request.method": "POST",
            }
            with tracing.span("webhook", parent=record.traceparent, kind="client", facts=facts):
                answer = await self._context.sender.send(message.owner, url, message_id, body)
                tracing.annotate({"http.response.status_code": answer.attempt.status})
                if not answer.taken:
                    tracing.note_failure(str(answer.attempt.status or "no answer"))
        finally:
            self._hosts -= Counter((host,))
        await self._note(message, event, url, answer)

    async def _note(self, message: Message, event: WebhookEvent, url: str, answer: Answer) -> None:
        number = message.attempts + 1
        pauses = self._context.settings.webhook_backoff
        outcome: Outcome
        pause_s = 0.0
        if answer.taken:
            outcome = "delivered"
        elif answer.final or number > len(pauses):
            outcome = "failed"
        else:
            outcome, pause_s = "pending", pauses[number - 1]
        attempt = WebhookAttempt(event=event, attempt=number, outcome=outcome, **dict(answer.attempt))
        facts = {"tells": event.value, **attempt.model_dump(exclude={"at", "event"})}
        (log.warning if outcome == "failed" else log.info)("a webhook was tried", job_id=message.job_id, **facts)
        await run_in_threadpool(self._context.store.webhooks.tried, message, attempt, url=url, after_s=pause_s)


def _event(message: Message, record: JobRecord) -> WebhookEvent | None:
    """What a message tells of; nothing where its job has expired."""
    if record.status is JobStatus.EXPIRED:
        return None
    return WebhookEvent.STARTED if message.start else WebhookEvent(f"job.{record.status.value}")

"""Delivers webhooks beside the API: each is sent again after growing pauses until it is taken or given up."""

import asyncio
import contextlib
import time
from collections import Counter
from urllib.parse import urlsplit

import structlog
from redis import RedisError
from starlette.concurrency import run_in_threadpool

from jobs.store.records import JobRecord
from service.context import Context
from service.http.addresses import public_job
from service.outbound.guard import BlockedAddressError
from service.outbound.posting import Poster
from service.webhooks.signing import EVENTS, payload

log = structlog.get_logger(__name__)

# Under way at once: of all, to one host, and of one owner. A receiver that takes connections and says nothing holds
# each until its time is up; the bounds are what it can so hold of what is the others'.
AT_ONCE = 100
HOST_AT_ONCE = 16
OWNER_AT_ONCE = 4
HOST_BUSY_S = 5.0  # then one whose host had its share already is looked at again
GONE = 410


async def deliver_webhooks(context: Context) -> None:
    """Until cancelled. Several front-ends may run it at once: each message is lent to one of them at a time."""
    await _Deliveries(context).run()


class _Deliveries:
    """Those under way at this front-end, each a task of its own."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._context = context
        self._poster = Poster(private=settings.webhook_private, timeout_s=settings.webhook_timeout_s)
        self._lease_s = 2 * settings.webhook_timeout_s
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
            await self._poster.close()

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
        for job_id, owner in due:
            self._owners[owner] += 1
            task = asyncio.create_task(self._deliver(job_id, owner))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(due)

    async def _deliver(self, job_id: str, owner: str) -> None:
        try:
            await self._attempt(job_id)
        except RedisError as error:  # when the lease has lapsed it is due again
            log.warning("a webhook could not be looked up or noted", job_id=job_id, error=str(error))
        except Exception:  # a fault of ours
            log.exception("delivering a webhook failed unexpectedly", job_id=job_id)
        finally:
            self._owners -= Counter((owner,))
            self._ended.set()

    async def _attempt(self, job_id: str) -> None:
        store = self._context.store
        record = await run_in_threadpool(store.get, job_id)
        event = EVENTS.get(record.status) if record is not None else None
        if record is None or record.webhook is None or event is None or event not in record.webhook.events:
            await run_in_threadpool(store.webhooks.end, job_id, "skipped")
            return
        host = urlsplit(record.webhook.url).hostname or ""
        if self._hosts[host] >= HOST_AT_ONCE:
            await run_in_threadpool(store.webhooks.retry, job_id, after_s=HOST_BUSY_S, tried=False)
            return
        self._hosts[host] += 1
        status, trouble = None, ""
        try:
            body = payload(event, public_job(record, record.base_url or self._context.settings.base))
            headers = self._context.signer.headers(record.owner, f"msg_{job_id}", int(time.time()), body)
            headers |= {"content-type": "application/json", "user-agent": "PIRenderer-Webhooks/1.0"}
            status = await self._poster.post(record.webhook.url, headers, body)
        except BlockedAddressError as error:
            log.warning("a webhook was not sent", job_id=job_id, error=str(error))
            await run_in_threadpool(store.webhooks.end, job_id, "failed")
            return
        except Exception as error:  # whatever it is, it was an attempt
            trouble = f"{type(error).__name__}: {error}"
        finally:
            self._hosts -= Counter((host,))
        await self._note(record, status, trouble)

    async def _note(self, record: JobRecord, status: int | None, trouble: str) -> None:
        assert record.webhook is not None  # noqa: S101 - it was sent
        store = self._context.store
        attempts = record.webhook.attempts + 1
        facts = {"job_id": record.id, "attempt": attempts, "status": status, "error": trouble or None}
        pauses = self._context.settings.webhook_backoff
        if status is not None and 200 <= status < 300:
            log.info("webhook delivered", **facts)
            await run_in_threadpool(store.webhooks.end, record.id, "delivered")
        elif status == GONE or attempts > len(pauses):
            log.warning("webhook given up", **facts)
            await run_in_threadpool(store.webhooks.end, record.id, "failed")
        else:
            log.info("webhook not taken; it will be sent again", **facts, pause_s=pauses[attempts - 1])
            await run_in_threadpool(store.webhooks.retry, record.id, after_s=pauses[attempts - 1])

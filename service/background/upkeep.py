"""Runs beside the API: queues lost jobs and lost messages again, lets results expire, sweeps folders nobody owns."""

import asyncio
import time

import structlog
from redis import RedisError
from starlette.concurrency import run_in_threadpool

from jobs.files.artifacts import ArtifactsAwayError
from jobs.messages import job_message, waiting_messages
from jobs.schemas import JobKind, JobStatus
from jobs.store.names import Key
from service.context import Context
from service.intake.folders import remove_folder

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 3600.0
SWEEP_OLDER_THAN_S = 3600.0


async def housekeeping(context: Context) -> None:
    """Until cancelled. Several front-ends may run it at once: each step is atomic in the store."""
    sweep_at = time.monotonic()
    while True:
        try:
            await run_in_threadpool(tidy, context)
            if time.monotonic() >= sweep_at:
                await run_in_threadpool(sweep, context)
                sweep_at = time.monotonic() + SWEEP_EVERY_S
        except (RedisError, ArtifactsAwayError, OSError) as error:
            log.warning("housekeeping failed; it will try again", error=str(error))
        except Exception:  # a fault of ours must not end it: lost jobs would stay lost
            log.exception("housekeeping failed unexpectedly; it will try again")
        await asyncio.sleep(context.settings.housekeeping_s)


def tidy(context: Context) -> None:
    """Remove what has expired, first, since memory may be short; fail late jobs; queue those of dead workers again, and
    send lost messages again; at last, since files may be away, remove what videos left."""
    for job_id in context.store.upkeep.expire_due():
        remove_folder(context, job_id)
        log.info("job expired", job_id=job_id)
    for portrait_id in context.portraits.expire_due():
        remove_folder(context, portrait_id)
        log.info("portrait expired", portrait=portrait_id)
    for job_id in context.store.upkeep.fail_late():
        log.info("job not begun by its deadline", job_id=job_id)
    for job_id, kind in context.store.upkeep.recover_orphans(lease_s=context.settings.lease_s):
        log.warning("a worker was lost; its job is queued again", job_id=job_id)
        context.store.send(job_message(job_id, kind))
    for kind in JobKind:
        messages = waiting_messages(context.redis, kind)
        for job_id in context.store.upkeep.due_for_resend(
            kind, messages=messages, age_s=context.settings.resend_after_s
        ):
            log.warning("a message was lost and is sent again", job_id=job_id)
            context.store.send(job_message(job_id, kind))
    for job_id in context.store.upkeep.untidy():
        files = context.store.files(job_id)
        if files is not None:
            context.artifacts.clear(job_id, files)
        context.store.upkeep.tidied(job_id)


def sweep(context: Context) -> None:
    """Remove old folders without a job or portrait: uploads that broke off, files that outlived their jobs.

    A Redis that has never known any may be one whose backup is yet to be restored, and says nothing of whose files are.
    """
    if not context.redis.exists(Key.NUMBER):
        return

    def owned(folder: str) -> bool:
        job = context.store.get(folder)
        return (job is not None and job.status is not JobStatus.EXPIRED) or context.portraits.get(folder) is not None

    for folder in context.artifacts.sweep(owned, older_than_s=SWEEP_OLDER_THAN_S):
        log.info("swept a folder without a job", job_id=folder)

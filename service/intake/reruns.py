"""A job once more: a new one with the same files and options."""

from starlette.concurrency import run_in_threadpool

from jobs import tracing
from jobs.files.artifacts import ArtifactMissingError
from jobs.files.keys import new_id
from jobs.problems import ProblemType
from jobs.schemas import InputFile, JobSpec, JobStatus, input_files
from jobs.store.creation import Terms
from jobs.store.records import JobRecord
from jobs.webhooks import Webhook
from service.access.throttle import Caller
from service.context import Context
from service.http.problems import ProblemError
from service.intake.admission import UNCERTAIN, check_room, queue_job
from service.intake.folders import create_folder, remove_folder

AGAIN = tuple(status for status in JobStatus if status.finished and status is not JobStatus.EXPIRED)


async def run_again(context: Context, record: JobRecord, caller: Caller, base: str) -> JobRecord:
    """The new job, which makes the same again. Raises ProblemError: 409 for a job that lives, 410 for one whose files
    are gone."""
    if not record.status.finished:
        allowed = [status.value for status in AGAIN]
        detail = f"job {record.id} is {record.status.value}; {' or '.join(allowed)} ones can be run again"
        raise ProblemError(ProblemType.JOB_NOT_FINISHED, detail, got=record.status.value, allowed=allowed)
    spec = record.spec
    if spec is None:
        raise ProblemError(ProblemType.JOB_EXPIRED, f"job {record.id} expired at {record.expires_at}")
    await check_room(context, caller, record.kind)
    job_id = new_id()
    made = False
    try:
        linked = await run_in_threadpool(_link, context, spec, job_id)
        webhook = Webhook(url=record.webhook.url, events=record.webhook.events) if record.webhook else None
        terms = Terms(webhook, metadata=record.metadata, base_url=base)
        rerun = await queue_job(context, job_id, spec.model_copy(update=linked), caller, terms)
        made = True
        tracing.link(record.traceparent)
    except UNCERTAIN:
        made = True
        raise
    except ArtifactMissingError as error:
        raise ProblemError(ProblemType.JOB_EXPIRED, f"the files of job {record.id} are gone") from error
    finally:
        if not made:
            await run_in_threadpool(remove_folder, context, job_id)
    return rerun


def _link(context: Context, spec: JobSpec, job_id: str) -> dict[str, InputFile]:
    """Give a job's files to a new one. Raises ArtifactMissingError."""
    create_folder(context, job_id)
    return {
        name: file.model_copy(update={"key": context.artifacts.link(file.key, job_id)})
        for name, file in input_files(spec).items()
    }

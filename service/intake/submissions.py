"""How a request becomes a job: capacity, upload, specification, store, message; or nothing at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from fastapi import Request
from fastapi.responses import JSONResponse
from redis import RedisError
from starlette.concurrency import run_in_threadpool

from jobs.files.artifacts import ArtifactMissingError
from jobs.files.keys import ID, new_id
from jobs.kinds import KINDS
from jobs.problems import ProblemType
from jobs.schemas import InputFile, JobKind, JobSpec
from jobs.store.creation import KeyTakenError, Terms
from jobs.store.records import JobRecord
from jobs.webhooks import Webhook
from service.access.throttle import Caller, UnderwayError
from service.context import Context
from service.http.addresses import public_job
from service.http.problems import ProblemError
from service.intake.admission import UNCERTAIN, check_room, form_under_way, queue_job
from service.intake.completion import complete
from service.intake.fingerprint import fingerprint
from service.intake.folders import create_folder, remove_folder
from service.intake.forms import Form, Shape, parse_deadline, parse_metadata
from service.intake.headers import PARAMETERS, wait_seconds
from service.intake.uploads import read_form
from service.stores.idempotency import IN_FLIGHT_SECONDS, Answered, in_flight
from service.stores.portraits import PortraitRecord
from service.webhooks.signing import parse_webhook

Build = Callable[[Mapping[str, InputFile]], JobSpec]
"""Makes a specification of a form's files."""


@dataclass(frozen=True)
class Submission:
    """What one kind of create call takes, needs and makes of it.

    `read` checks all that was sent but the files, of which some may not be there yet, and says what is made of those.
    """

    kind: JobKind
    shape: Shape
    read: Callable[[Context, Form], Build]

    @property
    def operation(self) -> dict[str, Any]:
        """What OpenAPI is told of the call."""
        return {"requestBody": self.shape.body(), "parameters": PARAMETERS}


async def submit(context: Context, request: Request, caller: Caller, submission: Submission) -> JSONResponse:
    """Answer a create call: 202 with the job, or 200 when `Prefer: wait` saw it end. Raises ProblemError."""
    require_models(context, *KINDS[submission.kind].models)
    owner = caller.owner
    key = request.headers.get("idempotency-key")
    job_id = new_id()
    answered = await context.idempotency.begin(owner, key, job_id) if key is not None else None
    made = uncertain = False
    try:
        async with _in_flight(context, owner, key if answered is None else None, job_id):
            with form_under_way(context, caller):
                if answered is None:  # a repeated request takes no room
                    await check_room(context, caller, submission.kind)
                await run_in_threadpool(create_folder, context, job_id)
                form = await read_form(context, request, submission.shape, job_id)
                digest = fingerprint(submission.kind, form)
                if answered is None:
                    # what is wrong with the rest is told before others are asked for files and speech
                    submission.shape.check(form)
                    portrait = await _portrait(context, caller, form)
                    base = context.base_url(request)
                    build, terms = await run_in_threadpool(_read, context, submission, job_id, form, portrait, base)
                    await complete(context, request, submission.shape, job_id, form)
        if answered is not None:
            record = await _replay(context, answered, digest)
        else:
            if key is not None:
                terms = replace(terms, remembered=context.idempotency.remembered(owner, key, Answered(digest, job_id)))
            try:
                record = await queue_job(context, job_id, build(form.files), caller, terms)
            except KeyTakenError as error:
                raise in_flight(cast(str, key)) from error
            except UNCERTAIN:
                uncertain = True
                raise
            made = True
    finally:
        if not (made or uncertain):
            await run_in_threadpool(remove_folder, context, job_id)
        if not made and key is not None and answered is None:
            await context.idempotency.release(owner, key, job_id)
    return await answer(context, request, caller, record, replayed=answered is not None)


@contextlib.asynccontextmanager
async def _in_flight(context: Context, owner: str, key: str | None, job_id: str) -> AsyncIterator[None]:
    """While the `with` block runs the key, if there is one, stays this request's: it lapses when the process dies."""
    if key is None:
        yield
        return

    async def keep() -> None:
        while True:
            await asyncio.sleep(IN_FLIGHT_SECONDS / 3)
            with contextlib.suppress(RedisError):
                await context.idempotency.keep(owner, key, job_id)

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait((keeping,))


def require_models(context: Context, *kinds: str) -> None:
    """Raise ProblemError (503) naming the models that are not installed."""
    if missing := context.catalogue.missing(kinds):
        raise ProblemError(
            ProblemType.NO_MODEL,
            f"no {' and no '.join(missing)} model is installed",
            got=sorted(context.catalogue.kinds),
            allowed=missing,
            headers={"Retry-After": "3600"},
        )


def _read(  # noqa: PLR0917 - in a thread
    context: Context, submission: Submission, job_id: str, form: Form, portrait: PortraitRecord | None, base: str
) -> tuple[Build, Terms]:
    if portrait is not None:  # it stands in the form as if it had been sent
        try:
            key = context.artifacts.link(portrait.file.key, job_id)
        except ArtifactMissingError as error:
            raise _no_portrait(portrait.id) from error
        form.files["portrait"] = portrait.file.model_copy(update={"key": key})
    terms = Terms(_webhook(context, form), parse_deadline(form), parse_metadata(form), base)
    return submission.read(context, form), terms


async def _portrait(context: Context, caller: Caller, form: Form) -> PortraitRecord | None:
    """The portrait that `portrait_id` names, if it is there. Raises ProblemError (422)."""
    portrait_id = form.texts.get("portrait_id")
    return None if portrait_id is None else await named_portrait(context, caller, portrait_id)


async def named_portrait(context: Context, caller: Caller, portrait_id: str) -> PortraitRecord:
    """The caller's kept portrait that a request names and so keeps for longer. Raises ProblemError (422)."""
    using = context.portraits.using(portrait_id, caller.owner, retention_s=context.settings.retention_s)
    record = await context.scripts.do(using) if ID.fullmatch(portrait_id) else None
    if record is None:
        raise _no_portrait(portrait_id)
    return record


def _no_portrait(portrait_id: str) -> ProblemError:
    return ProblemError(
        ProblemType.NO_SUCH_PORTRAIT,
        f"there is no portrait {portrait_id[:64]!r} (any more); upload it again",
        got=portrait_id,
    )


def _webhook(context: Context, form: Form) -> Webhook | None:
    text = form.texts.get("webhook")
    return None if text is None else parse_webhook(text, private=context.settings.webhook_private)


async def _replay(context: Context, answered: Answered, digest: str) -> JobRecord:
    if answered.fingerprint != digest:
        raise ProblemError(
            ProblemType.IDEMPOTENCY_MISMATCH,
            "this Idempotency-Key was used with another request; use a new key for a new job",
        )
    record = await context.scripts.do(context.store.getting(answered.job_id))
    if record is None:
        raise ProblemError(
            ProblemType.JOB_EXPIRED, f"job {answered.job_id}, made with this Idempotency-Key, has been deleted"
        )
    return record


async def answer(
    context: Context, request: Request, caller: Caller, record: JobRecord, *, replayed: bool = False
) -> JSONResponse:
    """Answer with a new job: 202, or 200 when `Prefer: wait` saw it end."""
    wait_s = wait_seconds(request, context.settings.max_wait_s)
    headers = {}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    if wait_s is not None:
        # the job is queued, and whoever asked must learn its id, though it cannot be waited for
        with (
            contextlib.suppress(RedisError, UnderwayError),
            context.followers.one(caller.owner),
        ):
            headers["Preference-Applied"] = f"wait={wait_s:g}"
            await context.events.wait(record.id, wait_s)
            ended = await context.scripts.do(context.store.getting(record.id))
            record = ended or record
    status = 200 if record.status.finished else 202
    if status == 202:
        headers["Retry-After"] = "1"
    job = public_job(record, context.base_url(request))
    headers["Location"] = job.urls.self
    return JSONResponse(job.model_dump(mode="json"), status_code=status, headers=headers)

"""Whether a live session may begin: models, the owner's portrait and quota, and workers that are free for it."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from jobs import tracing
from jobs.kinds import KINDS
from jobs.live import LiveSpec, Start
from jobs.messages import live_message
from jobs.problems import ProblemType
from jobs.schemas import JobKind
from jobs.store.live import LiveFullError
from service.access.throttle import OPEN_OWNER, Caller
from service.context import Context
from service.http.problems import ProblemError
from service.intake.submissions import named_portrait, require_models
from service.settings import Settings
from service.stores.portraits import PortraitRecord


def most_sessions(settings: Settings, workers: int) -> int:
    """How many sessions there may be while so many workers live; where none does, one may wait for the first.

    Some more may wait, if the settings say so, for workers that are started because they are wanted.
    """
    if settings.live_workers is None:
        return max(1, workers - 1) + settings.live_waiting
    return min(settings.live_workers, max(1, workers) + settings.live_waiting)


def require_offered(context: Context) -> None:
    """Raise ProblemError (503) where there are no live sessions."""
    if context.settings.live_workers == 0:
        raise ProblemError(ProblemType.LIVE_UNAVAILABLE, "there are no live sessions here: no worker may be in one")
    require_models(context, *KINDS[JobKind.IMAGE].models)


@dataclass(frozen=True)
class Opened:
    """A session that has begun: its portrait, and how many sessions there may be."""

    portrait: PortraitRecord
    most: int


async def open_session(context: Context, caller: Caller, session_id: str, start: Start) -> Opened:
    """Begin a session and call a worker to it. Raises ProblemError (422, 429, 503).

    Whatever comes of it, the session is to be closed.
    """
    portrait = await named_portrait(context, caller, start.portrait_id)
    settings = context.settings
    most = most_sessions(settings, await run_in_threadpool(context.store.workers.count))
    share = most if caller.owner == OPEN_OWNER else settings.live_share
    spec = LiveSpec(owner=caller.owner, portrait=portrait.file, options=start.options)
    try:
        await run_in_threadpool(
            context.store.live.open,
            session_id,
            spec,
            most=most,
            share=share,
            traceparent=tracing.current_traceparent(),
        )
    except LiveFullError as error:
        if error.own:
            raise ProblemError(
                ProblemType.TOO_MANY_REQUESTS,
                f"{error.most} live sessions of this key's owner are held, which is all one owner may have",
                got=error.most,
                allowed=error.most,
            ) from error
        raise await run_in_threadpool(no_worker, context, most) from error
    await context.charge(caller, caller.job_charges())
    await run_in_threadpool(context.store.send, live_message(session_id))
    tracing.annotate({"pirenderer.session.id": session_id})
    return Opened(portrait, most)


def no_worker(context: Context, most: int) -> ProblemError:
    """The refusal where no worker is free, with what they do."""
    store = context.store
    found = {
        "workers": store.workers.count(),
        "sessions": store.live.count(),
        "jobs": store.turns.running_count(),
    }
    return ProblemError(
        ProblemType.LIVE_UNAVAILABLE,
        f"no worker is free for a live session; workers: {found['workers']}, live sessions: {found['sessions']} of at "
        f"most {most}, jobs at work: {found['jobs']}",
        got=found,
        allowed=most,
    )

"""The spans of what a worker claims: how long it waited, what became of it, and its stages."""

import contextlib
from collections.abc import Iterator

from jobs import tracing
from jobs.problems import Problem, ProblemType
from jobs.schemas import VideoSpec
from jobs.store.records import Claim, Fragment
from worker.models import Models
from worker.queue.outcomes import Planned, Stored, Unfinished
from worker.stages import Stages

LOST = Problem.of(ProblemType.WORKER_LOST, "its worker died")


@contextlib.contextmanager
def traced(claim: Claim, stages: Stages) -> Iterator[None]:
    """While the block runs, what was claimed is worked on; how long it waited before is told as well."""
    facts = {
        "pirenderer.job.id": claim.job_id,
        "pirenderer.job.kind": claim.spec.kind.value,
        "pirenderer.part": claim.part or None,
        "pirenderer.attempt": claim.attempt,
    }
    _tell_wait(claim, facts)
    with tracing.span(_name(claim), parent=claim.traceparent, facts=facts):
        try:
            yield
        except SystemExit:  # the worker is told to stop
            _tell(Unfinished.LET_GO.value)
            raise
        finally:
            parent = tracing.current_traceparent()
            for stage, (began, ended) in stages.spans.items():
                busy_s = round(stages.seconds[stage], 6)
                tracing.past_span(stage, began, ended, parent=parent, facts={"pirenderer.busy_s": busy_s})


def tell_outcome(claim: Claim, outcome: Stored | Planned | Fragment | Problem | Unfinished, models: Models) -> None:
    """Say how the current span ended."""
    match outcome:
        case Problem():
            if outcome.type != ProblemType.INTERNAL.uri:  # else the exception is noted
                tracing.note_problem(outcome)
            _tell("failed")
        case Unfinished():
            _tell(outcome.value)
        case Stored():
            made = outcome.made
            _tell("succeeded", frames=made.get("frames", made.get("images")), models=models)
            if not claim.cut:
                tracing.annotate({}, name="job")  # a video of one segment, too
        case _:
            _tell("done", frames=outcome.frames, models=models)


def _tell(outcome: str, *, frames: int | None = None, models: Models | None = None) -> None:
    facts = {"pirenderer.outcome": outcome, "pirenderer.frames": frames}
    if models is not None and (renders := models.rendering) is not None:
        facts |= {"pirenderer.engine": renders[0], "pirenderer.device": renders[1]}
    tracing.annotate(facts)


def _tell_wait(claim: Claim, facts: tracing.Facts) -> None:
    waited, parent = claim.waited, claim.traceparent
    if waited is None:
        return
    since = waited.created_at
    if waited.lost_at is not None:
        since = waited.queued_at if waited.queued_at > waited.lost_at else waited.claimed_at
        before = {**facts, "pirenderer.attempt": claim.attempt - 1, "pirenderer.outcome": "worker lost"}
        tracing.past_span(_name(claim), waited.lost_at, since, parent=parent, facts=before, problem=LOST)
    if not claim.cut:  # parts wait for each other as well
        tracing.past_span("queued", since, waited.claimed_at, parent=parent, facts=facts)


def _name(claim: Claim) -> str:
    if not isinstance(claim.spec, VideoSpec):
        return "job"
    if claim.segment is not None:
        return "segment"
    return "join" if claim.joins else "plan"

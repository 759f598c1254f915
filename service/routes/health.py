"""/healthz, /readyz and /metrics, for those who run the service."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from jobs.problems import ProblemType
from service.context import ContextDep, OperatorDep
from service.http.openapi import STRANGER, Responses, access_responses, problem_responses
from service.http.problems import ProblemError

router = APIRouter(tags=["health"])

METRICS: Responses = {**access_responses(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
del METRICS[422]  # it is asked for with whatever parameters
NEVER_KEPT = {"Cache-Control": "no-store"}


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


@router.get("/healthz", responses=STRANGER)
async def healthz(response: Response) -> Health:  # in no thread: all may be waiting for Redis
    """Whether the process lives; asks nobody else."""
    response.headers.update(NEVER_KEPT)
    return Health()


class Readiness(Health):
    """Jobs can be taken, and so many workers are there to do them."""

    workers: int


NOT_READY = "The job store or the artifact store does not answer, or there are too few workers"


@router.get("/readyz", responses={**STRANGER, **problem_responses(s503=NOT_READY)})
async def readyz(response: Response, context: ContextDep) -> Readiness:
    """Whether jobs can be taken: Redis answers, files can be stored, enough workers are ready."""
    ready = await context.readiness.workers()
    if ready < context.settings.ready_workers:
        raise ProblemError(
            ProblemType.UNAVAILABLE,
            f"{ready} workers are ready; {context.settings.ready_workers} are needed",
            got=ready,
            allowed=context.settings.ready_workers,
            headers={"Retry-After": "5"},
        )
    response.headers.update(NEVER_KEPT)
    return Readiness(workers=ready)


@router.get("/metrics", response_class=Response, responses=METRICS)
def metrics(context: ContextDep, _: OperatorDep) -> Response:
    """Prometheus' text format."""
    return Response(context.metrics.render(), media_type=CONTENT_TYPE_LATEST, headers=NEVER_KEPT)

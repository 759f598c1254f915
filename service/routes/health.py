"""/healthz, /readyz and /metrics, for those who run the service."""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from service.context import ContextDep, OperatorDep
from service.jobs.problems import ProblemType
from service.openapi import access_responses, problem_responses
from service.problems import ProblemError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


@router.get("/healthz")
def healthz() -> Health:
    """Whether the process lives; asks nobody else."""
    return Health()


@router.get("/readyz", responses=problem_responses(s503="The job store does not answer or the disk is read-only"))
def readyz(context: ContextDep) -> Health:
    """Whether jobs can be taken: Redis answers and the data folder can be written."""
    context.store.ping()
    probe = context.artifacts.root / ".probe"
    try:
        probe.write_bytes(b"")
    except OSError as error:
        raise ProblemError(
            ProblemType.UNAVAILABLE,
            f"the data folder cannot be written: {error.strerror}",
            headers={"Retry-After": "5"},
        ) from error
    return Health()


@router.get("/metrics", response_class=Response, responses=access_responses())
def metrics(context: ContextDep, _: OperatorDep) -> Response:
    """Prometheus' text format."""
    return Response(context.metrics.render(), media_type=CONTENT_TYPE_LATEST)

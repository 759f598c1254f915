"""What the routes work with, made once by the app factory."""

from dataclasses import dataclass
from typing import Annotated, cast

from celery import Celery
from fastapi import Depends, Request
from redis import Redis

from service.cards import Catalogue
from service.idempotency import IdempotencyKeys
from service.jobs.artifacts import ArtifactStore
from service.jobs.events import JobEvents
from service.jobs.store import JobStore
from service.metrics import Metrics
from service.security import ApiKeys
from service.settings import Settings


@dataclass(frozen=True)
class Context:
    """Settings, stores, queue and catalogue of one application."""

    settings: Settings
    redis: Redis
    store: JobStore
    events: JobEvents
    artifacts: ArtifactStore
    idempotency: IdempotencyKeys
    celery: Celery
    catalogue: Catalogue
    metrics: Metrics
    api_keys: ApiKeys


def get_context(request: Request) -> Context:
    """The context of the application a request came to."""
    return cast(Context, request.app.state.context)


def get_owner(request: Request) -> str:
    """Who asks: stands for the API key, without being it. Raises ProblemError (401)."""
    return get_context(request).api_keys.owner(request)


ContextDep = Annotated[Context, Depends(get_context)]
OwnerDep = Annotated[str, Depends(get_owner)]

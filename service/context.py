"""What the routes work with, made once by the app factory."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

from anyio import CapacityLimiter
from fastapi import Depends
from redis import Redis
from starlette.requests import HTTPConnection

from jobs.files.artifacts import ArtifactStore
from jobs.store.batches import BatchedScripts
from jobs.store.events import JobEvents
from jobs.store.jobs import JobStore
from jobs.store.live_streams import LiveLine
from jobs.store.rates import Charge, charging
from service.access.control import AccessControl, require
from service.access.keys import KeyScope
from service.access.throttle import Caller, Underway, charged
from service.catalogue import Catalogue
from service.http.addresses import base_of
from service.http.cursors import Cursors
from service.metrics import Metrics
from service.outbound.fetching import Fetcher
from service.settings import Settings
from service.siblings import Siblings
from service.speech.speaker import Speaker
from service.stores.idempotency import IdempotencyKeys
from service.stores.portraits import PortraitStore
from service.stores.readiness import StoreReadiness
from service.webhooks.sending import WebhookSender
from service.webhooks.signing import WebhookSigner


@dataclass(frozen=True)
class Context:
    """Settings, stores, queue and catalogue of one application."""

    settings: Settings
    siblings: Siblings
    redis: Redis
    store: JobStore
    scripts: BatchedScripts  # what the store calls, in the event loop
    events: JobEvents
    artifacts: ArtifactStore
    portraits: PortraitStore
    readiness: StoreReadiness
    cursors: Cursors
    idempotency: IdempotencyKeys
    catalogue: Catalogue
    metrics: Metrics
    access: AccessControl
    forms: Underway  # being read
    followers: Underway  # streams of events and requests that wait for a job's end
    arrivals: Underway  # WebSockets whose live session has not begun
    live: LiveLine
    parsing: CapacityLimiter  # of large documents, which keep memory and processor busy
    measuring: CapacityLimiter  # of images, by their headers, which may be made to keep the processor busy
    fetcher: Fetcher
    signer: WebhookSigner
    sender: WebhookSender
    probes: Underway  # test messages to webhooks
    speaker: Speaker

    async def charge(self, caller: Caller, charges: Sequence[Charge]) -> None:
        """Count what a caller does. Raises ProblemError (429) when it is too much."""
        if charges:
            with charged(caller) as note:
                standings = await self.scripts.do(charging(charges))
                note(standings)

    def base_url(self, request: HTTPConnection) -> str:
        """What the addresses in the answer to a request begin with."""
        return base_of(request, self.settings)


async def get_context(request: HTTPConnection) -> Context:
    """The context of the application a request came to; asynchronous, since a plain function would go to a thread."""
    return cast(Context, request.app.state.context)


ContextDep = Annotated[Context, Depends(get_context)]


def calling(scope: KeyScope) -> Callable[[HTTPConnection, Context], Awaitable[Caller]]:
    """A dependency: who asks, when their key allows `scope` and no more was asked than it may. 401, 403, 429."""

    async def get_caller(request: HTTPConnection, context: ContextDep) -> Caller:
        caller = context.access.caller(request)
        request.state.key_id = caller.key_id
        request.state.standings = caller.standings
        require(caller, scope)
        await context.charge(caller, caller.request_charges())
        return caller

    return get_caller


ReaderDep = Annotated[Caller, Depends(calling(KeyScope.READ))]
WriterDep = Annotated[Caller, Depends(calling(KeyScope.WRITE))]
OperatorDep = Annotated[Caller, Depends(calling(KeyScope.METRICS))]

"""The application factory."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

from anyio import CapacityLimiter
from fastapi import Depends, FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from jobs.files.opening import make_artifacts
from jobs.redis_clients import async_redis_client
from jobs.store.batches import BatchedScripts
from jobs.store.events import JobEvents
from jobs.store.jobs import JobStore
from jobs.store.live_streams import LiveLine
from jobs.store.scripts import Scripts
from jobs.tracing import is_traced, start_tracing, stop_tracing
from service.access.control import AccessControl, check_exposure
from service.access.throttle import RateLimitFields, Underway
from service.background.upkeep import housekeeping
from service.background.webhooks import deliver_webhooks
from service.catalogue import Catalogue
from service.context import Context
from service.http import document, problems
from service.http.cursors import Cursors
from service.http.middleware import HeadRequests, OpenModeGuard, RequestLog, RequestSpans, RootPath, SecurityHeaders
from service.http.parameters import known_parameters
from service.http.validators import EntityTags
from service.intake import headers
from service.metrics import Metrics
from service.outbound.fetching import Fetcher
from service.routes import (
    discovery,
    health,
    images,
    jobs,
    live,
    motions,
    pages,
    portraits,
    speech,
    streams,
    videos,
    webhooks,
)
from service.routes import problems as problem_pages
from service.secret import ServiceSecret
from service.settings import Settings
from service.siblings import Siblings
from service.speech.speaker import Speaker
from service.stores.idempotency import IdempotencyKeys
from service.stores.portraits import PortraitStore
from service.stores.readiness import StoreReadiness
from service.version import package_version
from service.webhooks.sending import WebhookSender
from service.webhooks.signing import WebhookSigner

ARRIVALS, ARRIVALS_SHARE = 50, 4  # WebSockets whose live session has not begun, and one owner's
PROBES, PROBES_SHARE = 20, 2  # test messages to webhooks
TURN_S = 1.0  # between looks whether the sibling has ended that does what is done beside answering


def create_app(settings: Settings | None = None, siblings: Siblings | None = None) -> FastAPI:
    """The API with its stores, which connect on first use; `siblings` are the processes beside this one.

    Raises InsecureSettingsError, InvalidArtifactStoreError.
    """
    settings = settings or Settings()
    check_exposure(settings)
    context = make_context(settings, siblings or Siblings())
    app = FastAPI(
        title="PIRenderer",
        version=package_version(),
        description=document.DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,  # its page loads scripts from elsewhere; ours is in service/routes/pages.py
        redoc_url=None,
        redirect_slashes=False,  # an address that is nearly right is wrong, and a redirect would trust the Host header
        servers=[{"url": settings.base or "/"}],
        generate_unique_id_function=lambda route: route.name,  # operation ids that outlive a change of paths
    )
    app.state.context = context
    problems.install(app)
    document.install(app, headers.described(settings))
    for module in (portraits, images, videos, motions, jobs, streams, live, speech, webhooks, discovery):
        app.include_router(module.router, dependencies=[Depends(known_parameters)])
    for module in (problem_pages, health, pages):
        app.include_router(module.router)
    app.mount("/web/samples", StaticFiles(directory=pages.SAMPLES), name="samples")
    app.mount("/web", StaticFiles(directory=pages.WEB), name="web")
    # The one added last is the outermost, and the order counts. RootPath mends the path before anything looks at it.
    # The lines of RequestLog belong to the span of RequestSpans. RequestLog and SecurityHeaders see every answer, also
    # the guard's refusals and those of CORS. CORS stands outside the guard, so that a page may read why it was refused.
    # A HEAD is still logged and counted as HEAD. Inside of all EntityTags sees the bodies that HeadRequests leaves out.
    app.add_middleware(EntityTags)
    app.add_middleware(RateLimitFields)
    app.add_middleware(HeadRequests, router=app.router)
    public = urlsplit(settings.public_url or "").hostname
    hosts = (*settings.hosts, settings.host.lower(), *([public] if public else []))
    app.add_middleware(OpenModeGuard, hosts=hosts, keyed=lambda: context.access.keyed)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=[
                *("Authorization", "X-API-Key", "X-Request-ID", "Idempotency-Key", "Prefer"),
                *("Last-Event-ID", "Range", "If-None-Match"),
            ],
            expose_headers=[
                *("Location", "Link", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-ID"),
                *("ETag", "Content-Range", "Preference-Applied", "Idempotency-Replayed"),
            ],
        )
    app.add_middleware(SecurityHeaders, results_from=context.artifacts.origin)
    app.add_middleware(RequestLog, observe=context.metrics.observe)
    if is_traced():
        app.add_middleware(RequestSpans)
    if settings.root_path:
        app.add_middleware(RootPath, root_path=settings.root_path)
    return app


def make_context(settings: Settings, siblings: Siblings) -> Context:
    """Stores, queue and catalogue as the settings say."""
    scripts = Scripts.connect(settings.redis_url)
    store = JobStore(scripts, live_s=settings.live_s)
    batched = BatchedScripts(async_redis_client(settings.redis_url, decode_responses=True))
    artifacts = make_artifacts(settings)
    secret = ServiceSecret(settings.webhook_key_path)
    signer = WebhookSigner(settings.webhook_key_path)
    underway = partial(Underway, siblings=siblings)
    return Context(
        settings=settings,
        siblings=siblings,
        redis=scripts.redis,
        store=store,
        scripts=batched,
        events=JobEvents.connect(settings.redis_url),
        artifacts=artifacts,
        portraits=PortraitStore(scripts),
        readiness=StoreReadiness(store, artifacts),
        cursors=Cursors(secret),
        idempotency=IdempotencyKeys(batched),
        catalogue=Catalogue.read(settings.weights_dir),
        metrics=Metrics(store, siblings, {"files": settings.max_stored_bytes, "records": settings.max_record_bytes}),
        access=AccessControl(settings, secret),
        forms=underway("forms", most=settings.form_limit, share=settings.form_share),
        followers=underway(
            "followers",
            most=settings.max_connections,
            share=min(settings.follow_share, max(1, settings.max_connections // 2)),
        ),
        arrivals=underway("arrivals", most=ARRIVALS, share=ARRIVALS_SHARE),
        live=LiveLine.connect(settings.redis_url, most=settings.max_connections),
        parsing=CapacityLimiter(1),
        measuring=CapacityLimiter(4),
        fetcher=Fetcher(private=settings.fetch_private, timeout_s=settings.fetch_timeout_s),
        speaker=Speaker.of(settings),
        signer=signer,
        sender=WebhookSender(signer, private=settings.webhook_private, timeout_s=settings.webhook_timeout_s),
        probes=underway("probes", most=PROBES, share=PROBES_SHARE),
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    start_tracing("pirenderer-api")
    await run_in_threadpool(context.artifacts.prepare)
    beside = asyncio.create_task(_beside(context))
    try:
        yield
    finally:
        beside.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beside
        await context.fetcher.close()
        await context.sender.close()
        await context.speaker.close()
        await context.events.close()
        await context.live.close()
        await context.scripts.close()
        context.store.close()
        await run_in_threadpool(stop_tracing)


async def _beside(context: Context) -> None:
    """Upkeep and webhooks, until cancelled. One process of a front-end does them; when it ends, another."""
    while context.siblings.take("work beside answering", 1) is None:  # noqa: ASYNC110 - who ends tells nobody
        await asyncio.sleep(TURN_S)
    async with asyncio.TaskGroup() as tasks:
        for work in (housekeeping, deliver_webhooks):
            tasks.create_task(work(context))

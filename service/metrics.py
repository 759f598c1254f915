"""Prometheus metrics: requests as they pass, queues as they are when asked."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.jobs.store import JobStore

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Queues(Collector):
    def __init__(self, store: JobStore) -> None:
        self._store = store

    def describe(self) -> Iterator[GaugeMetricFamily]:
        return iter(())  # so that registering does not ask Redis

    def collect(self) -> Iterator[GaugeMetricFamily]:
        queued = GaugeMetricFamily("pirenderer_jobs_queued", "Jobs waiting for a worker", labels=["kind"])
        for kind, length in self._store.queue_lengths().items():
            queued.add_metric([kind.value], length)
        yield queued
        yield GaugeMetricFamily("pirenderer_jobs_running", "Jobs held by workers", value=self._store.running_count())


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, store: JobStore) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Queues(store))
        self.submitted = Counter("pirenderer_jobs_submitted_total", "Jobs accepted", ["kind"], registry=self._registry)
        self.requests = Counter(
            "pirenderer_http_requests_total",
            "Requests answered",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "pirenderer_http_request_seconds", "Time to answer", ["method", "route"], registry=self._registry
        )

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)


class RequestMetrics:
    """Counts and times requests by their route, never by what a client makes up: paths and methods have no end."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - started)

"""Prometheus metrics: requests as they pass here; jobs, queues and workers as the job store knows them when asked."""

import os
from collections import Counter as Counting
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client import values as library_values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.types import Scope

from jobs.store.counters import BUCKETS
from jobs.store.jobs import JobStore
from service.siblings import Siblings

WORKER_FACTS = {
    "batch_size": "Frames a worker renders at once",
    "gpu_used_bytes": "Memory of a worker's GPU in use",
    "gpu_bytes": "Memory of a worker's GPU",
    "certificate_end_timestamp_seconds": "When the certificate ends that a worker signs with, by the clock",
}
LIVE_TOTALS = {"sessions": "Live sessions that began", "pictures": "Pictures made in live sessions"}
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


HISTOGRAMS = {
    "wait": ("pirenderer_job_wait_seconds", "Time from a job's making to its start", ["kind"]),
    "run": ("pirenderer_job_run_seconds", "Time from a job's last start to its end", ["kind"]),
    "stage": ("pirenderer_job_stage_seconds", "Time of a job in one stage", ["kind", "stage"]),
}


class _Jobs(Collector):
    """Queues, workers and what was counted in the job store: the same at every front-end."""

    def __init__(self, store: JobStore, bounds: Mapping[str, int]) -> None:
        self._store = store
        self._bounds = bounds

    def describe(self) -> Iterator[Metric]:
        return iter(())  # so that registering does not ask Redis

    def collect(self) -> Iterator[Metric]:
        yield from self._queues()
        yield from self._workers()
        yield from self._live()
        yield from self._redis()
        counters = self._store.counters()
        yield _counter("pirenderer_jobs", "Jobs that ended", ["kind", "status"], counters.jobs)
        yield _counter("pirenderer_job_errors", "Jobs that failed, by problem", ["kind", "type"], counters.errors)
        yield _counter("pirenderer_made", "Pictures made: frames of videos, and images", ["what"], counters.made)
        yield _counter("pirenderer_webhooks", "Webhooks that came to an end", ["outcome"], counters.webhooks)
        for name, (metric, text, labels) in HISTOGRAMS.items():
            family = HistogramMetricFamily(metric, text, labels=labels)
            for values, histogram in counters.histograms[name].items():
                bounds = [*map(str, map(float, BUCKETS)), "+Inf"]
                family.add_metric(values, list(zip(bounds, accumulate(histogram.buckets), strict=True)), histogram.sum)
            yield family

    def _queues(self) -> Iterator[Metric]:
        queued = GaugeMetricFamily("pirenderer_jobs_queued", "Jobs waiting for a worker", labels=["kind"])
        for kind, length in self._store.turns.queue_lengths().items():
            queued.add_metric([kind.value], length)
        yield queued
        parts = self._store.turns.parts_waiting()
        yield GaugeMetricFamily("pirenderer_parts_queued", "Parts of begun videos waiting for a worker", value=parts)
        age = GaugeMetricFamily("pirenderer_queue_age_seconds", "How long the next job has waited", labels=["kind"])
        for kind, seconds in self._store.turns.oldest_waiting_s().items():
            age.add_metric([kind.value], seconds)
        yield age
        kept = GaugeMetricFamily("pirenderer_kept_bytes", "What is kept for all owners", labels=["what"])
        for what, amount in self._store.kept_by_all().items():
            kept.add_metric([what], amount)
        yield kept
        share = GaugeMetricFamily(
            "pirenderer_kept_share", "What the owner who keeps most keeps of what one may", labels=["what"]
        )
        for what, amount in self._store.kept_by_one().items():
            share.add_metric([what], amount / self._bounds[what])
        yield share
        running = self._store.turns.running_count()
        yield GaugeMetricFamily("pirenderer_jobs_running", "Jobs held by workers", value=running)
        lost = CounterMetricFamily(
            "pirenderer_parts_lost", "Jobs and parts of videos that were lost with their workers", labels=["kind"]
        )
        for kind, total in self._store.claims.lost().items():
            lost.add_metric([kind.value], total)
        yield lost

        mixed = CounterMetricFamily(
            "pirenderer_videos_mixed", "Videos with segments by several weights", labels=["outcome"]
        )
        for outcome, total in self._store.segments.mixed().items():
            mixed.add_metric([outcome.value], total)
        yield mixed

    def _redis(self) -> Iterator[Metric]:
        used, most = self._store.memory()
        yield GaugeMetricFamily("pirenderer_redis_used_bytes", "Memory that Redis takes", value=used)
        yield GaugeMetricFamily("pirenderer_redis_max_bytes", "Memory that Redis may take; 0: unbounded", value=most)

    def _live(self) -> Iterator[Metric]:
        held = self._store.live.count()
        yield GaugeMetricFamily("pirenderer_live_sessions_held", "Live sessions held just now", value=held)
        totals = self._store.live.totals()
        for what, text in LIVE_TOTALS.items():
            yield CounterMetricFamily(f"pirenderer_live_{what}", text, value=totals.get(what, 0))

    def _workers(self) -> Iterator[Metric]:
        workers = self._store.workers.live()
        states = Counting(facts.get("state", "") for facts in workers.values())
        count = GaugeMetricFamily("pirenderer_workers", "Workers heard of lately", labels=["state"])
        for state in ("loading", "ready"):
            count.add_metric([state], states[state])
        yield count
        wanted = self._store.workers.wanted()
        yield GaugeMetricFamily("pirenderer_workers_wanted", "Workers that would have something to do", value=wanted)
        for fact, text in WORKER_FACTS.items():
            gauge = GaugeMetricFamily(f"pirenderer_worker_{fact}", text, labels=["worker"])
            for name, facts in workers.items():
                if fact in facts:
                    gauge.add_metric([name], float(facts[fact]))
            yield gauge


def _counter(name: str, text: str, labels: list[str], totals: Mapping[tuple[str, ...], int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, total in totals.items():
        family.add_metric(values, total)
    return family


class Metrics:
    """The metrics of one front-end, in a registry of their own. `bounds` are those of what one owner keeps, bytes of
    files and of records.

    Where it has several processes, each counts in files of its own, and whichever is asked adds them up. The files are
    named by seats: who takes the seat of a process that ended counts on from there, so that no count is lost.
    """

    def __init__(self, store: JobStore, siblings: Siblings, bounds: Mapping[str, int]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Jobs(store, bounds))
        counted: CollectorRegistry | None = self._registry
        if siblings.folder is not None:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(siblings.folder)  # where the library looks
            each = library_values.MultiProcessValue(lambda: siblings.seat)  # type: ignore[no-untyped-call]
            library_values.ValueClass = each
            MultiProcessCollector(self._registry, str(siblings.folder))  # type: ignore[no-untyped-call]
            counted = None
        self.submitted = Counter("pirenderer_jobs_submitted_total", "Jobs accepted", ["kind"], registry=counted)
        self._requests = Counter(
            "pirenderer_http_requests_total",
            "Requests answered",
            ["method", "route", "status"],
            registry=counted,
        )
        self._seconds = Histogram(
            "pirenderer_http_request_seconds", "Time to answer", ["method", "route"], registry=counted
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and time a request by its route, never by what a client makes up: paths and methods have no end."""
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope.get("method", "GET")  # a WebSocket's handshake is one
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)

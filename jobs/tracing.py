"""Traces by OpenTelemetry: one of each job, from the request that made it to its result.

This module alone imports OpenTelemetry, and only where a collector is named by OpenTelemetry's own variables. Else
nothing is made: each function returns at once. Traces must neither slow nor fail what they are of: spans are handed to
a thread, which drops what it cannot send.
"""

import contextlib
import io
import logging
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

import structlog

from jobs.problems import Problem
from jobs.redis_url import without_password
from jobs.settings import InvalidSettingsError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span, Tracer
    from requests import Response, Session

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HEADERS = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
HEADER = re.compile(r"[\w!#$%&'*+.^`|~-]+\s*=[ !#-+\--:<-\[\]-~]*", re.ASCII)
MOST_ANSWER_BYTES = 4096  # of a collector, which has little to say; of a longer answer the status alone is read
STOP_S = 3.0  # for which a process that ends waits for the collector to take its last spans

Facts = Mapping[str, str | int | float | None]
Kind = Literal["internal", "server", "client"]

_tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None


def is_traced() -> bool:
    """Whether the environment names a collector."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    off = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"
    return not disabled and not off and any(os.environ.get(name) for name in ENDPOINTS)


def check_tracing() -> None:
    """Raise InvalidSettingsError where a collector is named, and spans cannot be sent as asked."""
    if not is_traced():
        return
    name, endpoint = _first_set(ENDPOINTS)
    if not endpoint.startswith(("http://", "https://")):
        raise InvalidSettingsError(f"{name}: allowed is http:// or https://, got {without_password(endpoint)!r}")
    protocol_name, protocol = _first_set(PROTOCOLS)
    if protocol not in ("", PROTOCOL):
        raise InvalidSettingsError(f"{protocol_name}: allowed is {PROTOCOL}, got {protocol!r}")
    headers_name, headers = _first_set(HEADERS)
    if not all(HEADER.fullmatch(each.strip()) for each in headers.split(",") if each.strip()):  # its values are secret
        raise InvalidSettingsError(f"{headers_name}: allowed is name=value,..., with ',' in a value written %2C")
    if not _installed():
        raise InvalidSettingsError(
            f"{name}: traces need OpenTelemetry's packages, which are not installed; install this package with the "
            "extra tracing, or unset it"
        )


def _first_set(names: tuple[str, ...]) -> tuple[str, str]:
    return next(((name, os.environ[name]) for name in names if os.environ.get(name)), ("", ""))


def _installed() -> bool:
    try:
        return all(find_spec(f"opentelemetry.{name}") for name in ("sdk.trace", "exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # not even the folder above
        return False


def start_tracing(service: str) -> None:
    """Begin to send spans of this process under the name of a service, unless the environment has another."""
    global _provider, _tracer  # noqa: PLW0603 - one for each process, as OpenTelemetry has it
    if _tracer is not None or not is_traced():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    for name in ("exporter", "sdk._shared_internal", "trace"):  # they say for each batch what `_Sender` says once
        logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)
    facts: dict[str, str | int] = {"service.version": _version()}
    facts |= {"host.name": socket.gethostname(), "process.pid": os.getpid()}
    found = Resource.create()
    if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
        facts[SERVICE_NAME] = service
    _provider = TracerProvider(resource=found.merge(Resource(facts)), shutdown_on_exit=False)
    _provider.add_span_processor(
        BatchSpanProcessor(cast("SpanExporter", _Sender(OTLPSpanExporter(session=_session()))))
    )
    _tracer = _provider.get_tracer("pirenderer", _version())


def stop_tracing() -> None:
    """Send the last spans, for as long as a process that ends may wait, and make no more."""
    global _provider, _tracer
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        sending.start()
        sending.join(STOP_S)


def _version() -> str:
    try:
        return version("pirenderer")
    except PackageNotFoundError:
        return "0"


def _session() -> "Session":
    """Connections to the collector."""
    import requests  # noqa: PLC0415 - as above

    session = requests.Session()
    session.stream = True
    session.hooks["response"] = [_read_little]
    return session


def _read_little(response: "Response", **_options: object) -> None:
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) <= MOST_ANSWER_BYTES:
        _ = response.content  # so that the connection is used again
    else:
        response.close()
        response.raw = io.BytesIO()


class _Sender:
    """An exporter that says once that the collector is away, and once that it is there again."""

    def __init__(self, exporter: "SpanExporter") -> None:
        self._exporter = exporter
        self._heard = True

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        """Send spans, or drop them."""
        result = self._exporter.export(spans)
        heard = result.name == "SUCCESS"
        if heard != self._heard:
            if heard:
                log.info("the collector of traces answers again")
            else:
                log.warning("the collector of traces takes no spans; they are dropped until it does")
        self._heard = heard
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """As exporters do, which hold nothing back."""
        return self._exporter.force_flush(timeout_millis)


# Spans


@contextlib.contextmanager
def request_span(headers: Mapping[str, str], facts: Facts) -> Iterator[None]:
    """The span of a request: part of its client's trace, where `headers` tell of one, else the first of a new one."""
    if _tracer is None:
        yield
        return
    with _current("request", _context(headers), "server", facts):
        yield


@contextlib.contextmanager
def span(name: str, *, parent: str | None, facts: Facts, kind: Kind = "internal") -> Iterator[None]:
    """A span below that of a traceparent, for what is done in the block; none where there is no traceparent."""
    if _tracer is None or parent is None:
        yield
        return
    with _current(name, _context({"traceparent": parent}), kind, facts):
        yield


def past_span(
    name: str, began: float, ended: float, *, parent: str | None, facts: Facts, problem: Problem | None = None
) -> None:
    """A span of what is over, in seconds since 1970."""
    if _tracer is None or parent is None:
        return
    made = _tracer.start_span(
        name, _context({"traceparent": parent}), attributes=_known(facts), start_time=int(began * 1e9)
    )
    if problem is not None:
        _note_problem(made, problem)
    made.end(max(int(began * 1e9), int(ended * 1e9)))


def annotate(facts: Facts, *, name: str | None = None) -> None:
    """Add facts to the current span, and give it another name."""
    if (current := _recording()) is not None:
        current.set_attributes(_known(facts))
        if name is not None:
            current.update_name(name)


def link(traceparent: str | None) -> None:
    """Link the current span with that of a traceparent."""
    if traceparent is not None and (current := _recording()) is not None:
        current.add_link(_trace().get_current_span(_context({"traceparent": traceparent})).get_span_context())


def note_problem(problem: Problem) -> None:
    """The current span ends with a problem. Its detail may repeat what somebody sent, so it stays out."""
    if (current := _recording()) is not None:
        _note_problem(current, problem)


def note_error(error: BaseException) -> None:
    """The current span ends with an exception nobody expected: its type, text and stack, without local variables."""
    if (current := _recording()) is not None:
        current.record_exception(error)
        note_failure(type(error).__qualname__)


def note_failure(kind: str) -> None:
    """The current span ends with an error of some kind."""
    if (current := _recording()) is not None:
        _fail(current, kind)


def current_traceparent() -> str | None:
    """What the current span is known by elsewhere, as W3C's Trace Context has it."""
    if _tracer is None:
        return None
    found = _trace().get_current_span().get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}" if found.is_valid else None


def trace_ids() -> dict[str, str]:
    """The same for lines of logs: `trace_id` and `span_id`, if there are any."""
    traceparent = current_traceparent()
    return {} if traceparent is None else dict(zip(("trace_id", "span_id"), traceparent.split("-")[1:3], strict=True))


@contextlib.contextmanager
def _current(name: str, context: "Context", kind: Kind, facts: Facts) -> Iterator[None]:
    assert _tracer is not None  # noqa: S101 - asked before
    trace = _trace()
    made = _tracer.start_span(name, context, trace.SpanKind[kind.upper()], _known(facts))
    with trace.use_span(made, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield


def _trace() -> ModuleType:
    from opentelemetry import trace  # noqa: PLC0415

    return trace


def _context(headers: Mapping[str, str]) -> "Context":
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract(headers, Context())


def _recording() -> "Span | None":
    if _tracer is None:
        return None
    current = _trace().get_current_span()
    return current if current.is_recording() else None


def _note_problem(current: "Span", problem: Problem) -> None:
    current.add_event("exception", {"exception.type": problem.type, "exception.message": problem.title})
    _fail(current, problem.type, problem.title)


def _fail(current: "Span", kind: str, text: str | None = None) -> None:
    current.set_attribute("error.type", kind)
    current.set_status(_trace().StatusCode.ERROR, text)


def _known(facts: Facts) -> dict[str, str | int | float]:
    return {name: value for name, value in facts.items() if value is not None}

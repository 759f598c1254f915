"""A collector of traces: takes OTLP by HTTP, and can be slow or away."""

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.processes import until


class Span(NamedTuple):
    """A span as it came; times in seconds."""

    name: str
    trace: str
    id: str
    parent: str
    service: str
    began: float
    ended: float
    facts: dict[str, Any]
    failed: bool
    events: list[dict[str, str]]
    links: list[str]


class Collector:
    """Listens while the `with` block runs; each request is answered after `slow_s` seconds."""

    def __init__(self, *, slow_s: float = 0.0) -> None:
        self.slow_s = slow_s
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(collector.slow_s)
                if self.path == "/v1/traces":
                    collector.take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send traces here, and soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.address, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = facts_of(resource.resource.attributes)["service.name"]
            for each in (each for scope in resource.scope_spans for each in scope.spans):
                events = [facts_of(event.attributes) for event in each.events]
                links = [link.trace_id.hex() for link in each.links]
                began, ended = each.start_time_unix_nano / 1e9, each.end_time_unix_nano / 1e9
                ids = (each.trace_id.hex(), each.span_id.hex(), each.parent_span_id.hex())
                facts, failed = facts_of(each.attributes), each.status.code == 2
                self.spans.append(Span(each.name, *ids, service, began, ended, facts, failed, events, links))

    def of(self, trace: str) -> list[Span]:
        """The spans of a trace, as they began."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.began)

    def wait_for(self, wanted: Callable[[Span], bool]) -> Span:
        """The first span that is wanted."""
        found: list[Span] = []
        until(lambda: found.extend(filter(wanted, list(self.spans))) or found, lambda: str(self.spans))
        return found[0]


def facts_of(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}

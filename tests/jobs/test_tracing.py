"""What a collector is told of spans of this process."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from jobs import tracing
from tests.support.collector import Collector
from tests.support.processes import until

SAMPLED, DROPPED = (f"00-{'a' * 32}-{'b' * 16}-{flag}" for flag in ("01", "00"))


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        for name, value in collector.environment.items():
            monkeypatch.setenv(name, value)
        tracing.start_tracing("tests")
        yield collector
        tracing.stop_tracing()


def test_an_unexpected_error_comes_with_its_stack_and_without_values(collector: Collector) -> None:
    def fail() -> None:
        hidden = "a value" + " of a variable"
        raise ValueError(f"{len(hidden)} is too long")

    with tracing.span("job", parent=SAMPLED, facts={}):
        assert tracing.trace_ids()["trace_id"] == "a" * 32
        try:
            fail()
        except ValueError as error:
            tracing.note_error(error)
    tracing.stop_tracing()
    (span,) = collector.spans
    (event,) = span.events
    assert (span.failed, span.facts["error.type"]) == (True, "ValueError")
    assert (event["exception.type"], event["exception.message"]) == ("ValueError", "21 is too long")
    assert 'raise ValueError(f"{len(hidden)} is too long")' in event["exception.stacktrace"]
    assert "a value of a variable" not in str(span)


def test_what_is_not_sampled_or_has_no_trace_is_not_sent(collector: Collector) -> None:
    for parent in (DROPPED, None):
        with tracing.span("job", parent=parent, facts={"a": 1}):
            tracing.annotate({"b": 2}, name="c")
            tracing.past_span("queued", 1.0, 2.0, parent=tracing.current_traceparent(), facts={})
            tracing.link(SAMPLED)
    assert tracing.trace_ids() == {}
    tracing.stop_tracing()
    assert collector.spans == []


@pytest.mark.parametrize("header", ["", "00-1-2-01", "x" * 10_000, SAMPLED.replace("a", "0"), f"ff{SAMPLED[2:]}"])
def test_a_header_that_is_no_traceparent_begins_a_new_trace(collector: Collector, header: str) -> None:
    with tracing.request_span({"traceparent": header, "baggage": "a=b"}, {}):
        pass
    tracing.stop_tracing()
    (span,) = collector.spans
    assert span.parent == ""
    assert span.trace not in ("", "a" * 32)


def test_an_answer_that_never_ends_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()
    piece = bytes(1 << 20)

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    self.wfile.write(piece)
                return
            refused.set()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        tracing.start_tracing("tests")
        with tracing.request_span({}, {}):
            pass
        tracing.stop_tracing()
        until(refused.is_set, "all of it was read")
        server.shutdown()

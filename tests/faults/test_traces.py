"""Traces of real processes, as a collector gets them: one of each job, whatever becomes of its workers."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from websockets.sync.client import connect

from tests.support.collector import Collector, Span
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, PLAIN, PORTRAIT, TURN, Service, until
from tests.support.tiny_weights import tiny_service

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, PARENT = CALLER.split("-")[1:3]


def turn_of(seconds: float) -> str:
    """A motion of 25 times as many frames, and one more."""
    return json.dumps({"keyframes": [{"t": 0, "controls": {}}, {"t": seconds, "controls": {"yaw": 15}}]})


SHORT, LONG = turn_of(1.6), turn_of(4)  # both of several segments
HIDDEN = "not-to-be-told"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def service(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    environment = {"PIRENDERER_LOG_LEVEL": "debug", "PIRENDERER_WEBHOOK_PRIVATE": "true", "AWS_SESSION_TOKEN": HIDDEN}
    with tiny_service(tmp_path_factory.mktemp("traced"), {**collector.environment, **environment}) as service:
        service.wait_for_workers()
        yield service


def create(service: Service, call: str, motion: str, *, portrait: bytes | None = None, **more: str) -> str:
    response = service.client.post(
        f"/v1/{call}",
        files={"portrait": (f"{HIDDEN}.jpg", portrait or PORTRAIT.read_bytes())},
        data={"options": PLAIN, "motion": motion, **{name: value for name, value in more.items() if name == "webhook"}},
        headers={name: value for name, value in more.items() if name != "webhook"},
    )
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def made_by(job: str) -> dict[str, object]:
    return {"pirenderer.job.id": job, "http.route": "/v1/videos"}


def has(span: Span, facts: dict[str, object]) -> bool:
    return facts.items() <= span.facts.items()


@pytest.mark.slow
def test_a_video_of_several_segments_is_one_trace(service: Service, collector: Collector) -> None:
    webhook = json.dumps({"url": collector.address + "/hook", "events": ["job.succeeded"]})
    job = create(service, "videos", SHORT, webhook=webhook, traceparent=CALLER, baggage=f"a={HIDDEN}")
    service.finished(job)
    collector.wait_for(lambda span: span.name == "webhook" and span.facts["pirenderer.job.id"] == job)
    collector.wait_for(lambda span: span.name == "join" and span.facts["pirenderer.job.id"] == job)
    spans = collector.of(TRACE)
    request = next(span for span in spans if span.parent == PARENT)
    expected = {"http.request.method": "POST", "url.path": "/v1/videos", "http.response.status_code": 202}
    assert request.name == "POST /v1/videos"
    assert has(request, {**made_by(job), **expected})
    assert request.service == "pirenderer-api"
    below = [span for span in spans if span.parent == request.id]
    segments = [span for span in below if span.name == "segment"]
    assert {span.name for span in below} == {"queued", "plan", "segment", "join", "webhook"}
    assert len(below) == len(segments) + 4
    assert [span.facts["pirenderer.part"] for span in segments] == [str(number) for number in range(len(segments))]
    assert len(segments) > 1
    assert all(span.facts["pirenderer.engine"].startswith("torch") for span in segments)
    assert all(has(span, {"pirenderer.device": "cpu"}) for span in segments)
    queued, plan, join = (next(span for span in below if span.name == name) for name in ("queued", "plan", "join"))
    assert sum(span.facts["pirenderer.frames"] for span in segments) == plan.facts["pirenderer.frames"] == 41
    assert request.began <= queued.began < queued.ended <= plan.began + 0.01
    assert plan.ended <= join.began
    assert max(span.ended for span in segments) <= join.began
    stages = {span.name: [each for each in spans if each.parent == span.id] for span in (plan, segments[0], join)}
    assert {each.name for each in stages["plan"]} >= {"decode", "face", "motion"}
    assert {each.name for each in stages["segment"]} == {"render", "encode", "paste"}
    assert {each.name for each in stages["join"]} == {"encode"}
    for span in (plan, segments[0], join):
        for stage in stages[span.name]:
            assert span.began <= stage.began <= stage.ended <= span.ended
            assert stage.facts["pirenderer.busy_s"] <= stage.ended - stage.began + 0.01
    assert {span.service for span in below} == {"pirenderer-api", "pirenderer-worker"}
    assert not any(span.failed for span in spans)
    assert HIDDEN not in str(spans)


@pytest.mark.slow
def test_a_part_whose_worker_died_shows_both_attempts(service: Service, collector: Collector) -> None:
    job = create(service, "videos", LONG)
    request = collector.wait_for(lambda span: has(span, made_by(job)))
    until(lambda: service.attempts(job, "0"), "nothing is rendered", every_s=0.01)
    service.kill_child()
    service.finished(job)
    collector.wait_for(lambda span: span.name == "join" and span.facts["pirenderer.job.id"] == job)
    (lost,) = (span for span in collector.of(request.trace) if span.failed)
    tried = {name: lost.facts.get(name) for name in ("pirenderer.job.id", "pirenderer.part")}
    again = [span for span in collector.of(request.trace) if has(span, {**tried, "pirenderer.attempt": 2})]
    assert has(lost, {"pirenderer.attempt": 1, "error.type": "/problems/worker-lost"})
    assert [(span.name, span.failed, span.parent) for span in again if span.name != "queued"] == [
        (lost.name, False, request.id)
    ]
    assert lost.began < lost.ended <= again[-1].began + 0.01


@pytest.mark.slow
def test_an_image_that_fails_and_is_made_again(service: Service, collector: Collector) -> None:
    blank = io.BytesIO()
    Image.new("RGB", (64, 64)).save(blank, "PNG")
    job = create(service, "images", TURN, portrait=blank.getvalue())
    service.finished(job)
    made = collector.wait_for(lambda span: span.name == "job" and span.facts["pirenderer.job.id"] == job)
    assert made.failed
    assert has(made, {"pirenderer.outcome": "failed", "error.type": "/problems/no-face"})
    assert [event["exception.type"] for event in made.events] == ["/problems/no-face"]
    again = service.client.post(f"/v1/jobs/{job}/rerun").json()["id"]
    rerun = collector.wait_for(lambda span: has(span, {"pirenderer.job.id": again, "http.request.method": "POST"}))
    assert rerun.links == [made.trace]
    assert rerun.trace != made.trace
    assert service.client.get("/v1/jobs/none").status_code == 404
    lacking = collector.wait_for(lambda span: span.facts.get("http.response.status_code") == 404)
    assert (lacking.name, lacking.failed) == ("GET /v1/jobs/{job_id}", False)
    service.finished(again)


@pytest.mark.slow
def test_a_live_session_is_one_span_at_each_end(service: Service, collector: Collector) -> None:
    portrait = service.client.post("/v1/portraits", files={"portrait": PORTRAIT.read_bytes()}).json()["id"]
    address = f"ws://127.0.0.1:{service.api_port}/v1/live"
    with connect(address, additional_headers={"traceparent": CALLER.replace("0af7", "0af8")}) as client:
        client.send(json.dumps({"type": "start", "portrait_id": portrait, "options": {"size": 128}}))
        while isinstance(client.recv(timeout=60), str):
            pass  # until the first picture
    held = collector.wait_for(lambda span: span.name == "live")
    request = collector.wait_for(lambda span: span.name == "GET /v1/live")
    assert (held.trace, held.parent, request.parent) == (TRACE.replace("0af7", "0af8"), request.id, PARENT)
    assert request.facts["http.response.status_code"] == 101
    assert request.facts["pirenderer.session.id"] == held.facts["pirenderer.session.id"]
    assert held.facts["pirenderer.pictures"] > 0
    assert not held.failed
    assert len(collector.of(held.trace)) == 2


@pytest.mark.slow
def test_lines_name_their_spans_and_tell_no_secret(service: Service, collector: Collector) -> None:
    job = create(service, "images", TURN)
    service.finished(job)
    trace = collector.wait_for(lambda span: span.name == "job" and span.facts["pirenderer.job.id"] == job).trace
    for name, event in (("api", "job queued"), ("worker", "job succeeded")):
        text = (service.folder / f"{name}.log").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        (line,) = (line for line in lines if line["event"] == event and line["job_id"] == job)
        assert line["trace_id"] == trace
        assert line["span_id"] in {span.id for span in collector.of(trace)}
        assert HIDDEN not in text
    assert not any("/healthz" in span.facts.get("url.path", "") for span in collector.spans)


@pytest.mark.slow
def test_processes_that_end_send_their_last_spans_though_it_takes_a_while(tmp_path: Path) -> None:
    with Collector(slow_s=1) as collector:
        environment = {**collector.environment, "OTEL_BSP_SCHEDULE_DELAY": "600000", "REMAP_SIGTERM": "SIGQUIT"}
        with tiny_service(tmp_path, environment) as service:
            done, cut = create(service, "images", TURN), create(service, "videos", LONG)
            until(lambda: service.attempts(cut, "0"), lambda: service.log("worker"))
            assert collector.spans == []
            service.processes["worker"].terminate()
            assert service.processes["worker"].wait(PATIENCE_S) == 0
            (first,) = (span for span in collector.spans if span.name == "job")
            assert has(first, {"pirenderer.job.id": done})
            let_go = [span for span in collector.spans if has(span, {"pirenderer.outcome": "let go"})]
            assert {span.facts["pirenderer.job.id"] for span in let_go} == {cut}  # its plan, and what was aside of it
        assert [span.id for span in collector.spans if span.service == "pirenderer-api" and span.id == first.parent]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["away", "not sampled", "off"])
def test_a_front_end_without_a_collector_serves_all_the_same(tmp_path: Path, way: str) -> None:
    service = Service(tmp_path)
    with Collector() as collector:
        environment = dict(collector.environment)
        if way == "away":
            environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        elif way == "not sampled":
            environment |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
        else:
            environment["OTEL_SDK_DISABLED"] = "true"
        try:
            service.start("redis")
            service.start("api", environment=environment)
            for _ in range(3):
                assert service.client.get("/v1/jobs").status_code == 200
                if way == "away":
                    until(lambda: "collector of traces" in service.log("api"), lambda: service.log("api"))
            service.processes["api"].terminate()
            assert service.processes["api"].wait(PATIENCE_S) == -signal.SIGTERM  # as uvicorn ends
        finally:
            service.stop()
        assert collector.spans == []
    said = service.log("api")
    assert said.count("the collector of traces takes no spans") == (way == "away")
    assert "opentelemetry" not in said
    assert ("trace_id" in said) == (way != "off")


LACKING = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Lacking())
from service.cli import main
main()
"""


@pytest.mark.parametrize(
    ("code", "variables", "told"),
    [
        (LACKING, {}, "the extra tracing"),
        ("from service.cli import main; main()", {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf, got 'grpc'"),
        ("from service.cli import main; main()", {"OTEL_EXPORTER_OTLP_ENDPOINT": "a:b@c:1"}, "https://, got '***@c:1'"),
        ("from service.cli import main; main()", {"OTEL_EXPORTER_OTLP_HEADERS": HIDDEN}, "name=value,..."),
    ],
)
def test_what_traces_lack_is_said_in_a_line(tmp_path: Path, code: str, variables: dict[str, str], told: str) -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", **variables}
    environment |= {"PYTHONPATH": str(ROOT), "PIRENDERER_DATA_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code, "api"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: OTEL_EXPORTER_OTLP_")
    assert told in ended.stderr
    assert HIDDEN not in ended.stderr
    assert ended.stderr.count("\n") == 1

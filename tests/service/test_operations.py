"""What those who run the service see: figures, readiness, and ids that join the lines of a request and its job."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from jobs.problems import Problem, ProblemType
from jobs.store.webhooks import Message
from service.running.embedded import free_port
from tests.service.conftest import FIRST, Server, Start
from tests.service.routes.test_create import YAW, refused
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, until


def create(server: Server, portrait: bytes, **headers: str) -> str:
    files, data = {"portrait": portrait}, {"motion": YAW}
    return str(server.client.post("/v1/images", files=files, data=data, headers=headers).json()["id"])


def samples(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """The metrics, read by Prometheus' own parser."""
    families = text_string_to_metric_families(server.client.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def sample(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_metrics_tell_of_jobs_queues_and_workers(server: Server, portrait: bytes) -> None:
    store = server.context.store
    good, bad, _ = (create(server, portrait) for _ in range(3))
    claim = server.claim(good)
    store.claims.timings(claim, {"render": 0.3})
    store.claims.give_back(claim)
    server.succeed(good)
    store.claims.fail(server.claim(bad), Problem.of(ProblemType.NO_FACE, "no face"))
    store.workers.beat("host:1", {"state": "ready", "batch_size": 8, "gpu_used_bytes": 5e9, "gpu_bytes": 8e9})
    store.workers.beat("host:2", {"state": "loading"})
    time.sleep(1.1)
    found = samples(server)
    assert sample(found, "pirenderer_jobs_queued", kind="image") == 1
    assert 1 <= (sample(found, "pirenderer_queue_age_seconds", kind="image") or 0) < 30
    assert sample(found, "pirenderer_queue_age_seconds", kind="video") == 0
    assert sample(found, "pirenderer_jobs_total", kind="image", status="succeeded") == 1
    assert sample(found, "pirenderer_job_errors_total", kind="image", type=ProblemType.NO_FACE.uri) == 1
    assert sample(found, "pirenderer_made_total", what="images") == 1
    assert sample(found, "pirenderer_job_wait_seconds_count", kind="image") == 2
    assert sample(found, "pirenderer_job_run_seconds_count", kind="image") == 2
    assert sample(found, "pirenderer_videos_mixed_total", outcome="rendered-again") == 0
    assert sample(found, "pirenderer_workers", state="ready") == 1
    assert sample(found, "pirenderer_workers", state="loading") == 1
    assert sample(found, "pirenderer_workers_wanted") == 1
    assert sample(found, "pirenderer_worker_gpu_used_bytes", worker="host:1") == 5e9
    assert sample(found, "pirenderer_worker_batch_size", worker="host:1") == 8
    buckets = [
        (float(dict(labels)["le"]), value)
        for (name, labels), value in found.items()
        if name == "pirenderer_job_run_seconds_bucket"
    ]
    assert max(buckets)[1] == 2
    assert [value for _, value in sorted(buckets)] == sorted(value for _, value in buckets)


def test_dashboard_and_alerts_ask_for_what_there_is(server: Server, portrait: bytes) -> None:
    store = server.context.store
    job = create(server, portrait)
    claim = server.claim(job)
    store.claims.timings(claim, {"render": 0.3})
    store.claims.fail(claim, Problem.of(ProblemType.NO_FACE, "no face"))
    server.succeed(create(server, portrait))
    store.webhooks.end(Message(job, "everyone"), "delivered")
    facts = {"gpu_used_bytes": 5e9, "gpu_bytes": 8e9, "certificate_end_timestamp_seconds": 2e9}
    store.workers.beat("host:1", {"state": "ready", **facts})
    assert server.client.get("/readyz").is_success
    found = samples(server)
    names = {name for name, _ in found}
    dashboard = json.loads((ROOT / "deploy/monitoring/grafana.json").read_text())
    alerts = yaml.safe_load((ROOT / "deploy/monitoring/alerts.yaml").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    told = [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    for expressions in (shown, told):
        wanted = {name for each in expressions for name in re.findall(r"pirenderer_\w+", each)}
        assert len(wanted) >= 12
        assert wanted <= names
    labels = {label for _, labels in found for label, _ in labels} | {"namespace", "job", "instance"}
    given = {name for each in told for name in re.findall(r'(\w+)!?=~?"', each)}
    assert len(given) >= 4
    assert given <= labels
    types = re.findall(r"/problems/\(([^)]*)\)", " ".join(told))
    assert types
    assert set(types[0].split("|")) <= {kind.slug for kind in ProblemType}
    assert sample(found, "pirenderer_http_requests_total", method="GET", route="/readyz", status="200")
    used, most = (sample(found, f"pirenderer_redis_{what}_bytes") for what in ("used", "max"))
    assert used is not None
    assert used > 100_000
    assert most == 0
    assert sample(found, "pirenderer_kept_share", what="files") == pytest.approx(
        store.kept("everyone")["files"] / server.context.settings.max_stored_bytes
    )


def test_readiness_counts_workers_that_are_ready(start: Start) -> None:
    server = start(ready_workers=1)
    problem = refused(server.client.get("/readyz"), ProblemType.UNAVAILABLE)
    assert problem["detail"] == "0 workers are ready; 1 are needed"
    server.context.store.workers.beat("host:1", {"state": "loading"})
    time.sleep(1.1)  # the stores are asked once a second
    refused(server.client.get("/readyz"), ProblemType.UNAVAILABLE)
    server.context.store.workers.beat("host:1", {"state": "ready"})
    until(lambda: server.client.get("/readyz").is_success, "it is not ready")
    assert server.client.get("/readyz").json() == {"status": "ok", "workers": 1}
    server.context.store.workers.leave("host:1")
    until(lambda: server.client.get("/readyz").is_error, "it stays ready")


def test_readiness_asks_the_stores_once_a_second_however_often_it_is_asked(start: Start) -> None:
    server = start()

    def pings() -> int:
        found = server.context.redis.info("commandstats").get("cmdstat_ping", {"calls": 0})
        return int(found["calls"])

    server.client.get("/healthz")
    before, started = pings(), time.monotonic()
    for _ in range(100):
        assert server.client.get("/readyz").status_code == 200
    assert pings() - before <= 2 + time.monotonic() - started


def test_readiness_needs_a_folder(start: Start) -> None:
    server = start()
    server.artifacts.root.rmdir()
    problem = refused(server.client.get("/readyz"), ProblemType.UNAVAILABLE)
    assert problem["detail"] == "the data folder cannot be written: No such file or directory"


def test_an_id_goes_from_the_request_to_the_job(server: Server, portrait: bytes) -> None:
    mine = server.claim(create(server, portrait, **{"X-Request-ID": "order-17.b_2"}))
    assert mine.request_id == "order-17.b_2"
    for odd in ("", "a b", "x" * 65, 'a"}'):
        response = server.client.get("/v1/jobs", headers={"X-Request-ID": odd})
        assert re.fullmatch(r"[0-9a-f]{16}", response.headers["x-request-id"])


def answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/healthz").is_success
    return False


@pytest.mark.slow
def test_lines_of_the_log_carry_the_ids(redis_url: str, tmp_path: Path, weights_dir: Path, portrait: bytes) -> None:
    port, log = free_port(), tmp_path / "api.log"
    environment = {
        **os.environ,
        "PIRENDERER_REDIS_URL": redis_url,
        "PIRENDERER_WEIGHTS_DIR": str(weights_dir),
        "PIRENDERER_API_KEYS": FIRST,
    }
    command = [sys.executable, "-m", "service.cli", "api", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        headers = {"X-API-Key": FIRST, "X-Request-ID": "order-17"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
            until(lambda: answers(client), log.read_text)
            files, data = {"portrait": portrait}, {"motion": YAW}
            job = client.post("/v1/images", files=files, data=data).json()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    queued = next(line for line in lines if line["event"] == "job queued")
    assert (queued["job_id"], queued["request_id"]) == (job["id"], "order-17")
    request = next(line for line in lines if line["event"] == "request")
    assert (request["path"], request["status"], request["request_id"]) == ("/v1/images", 202, "order-17")
    assert re.fullmatch(r"[0-9a-f]{8}", request["key"])
    assert FIRST not in log.read_text()

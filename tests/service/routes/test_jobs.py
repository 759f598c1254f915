"""The life of a job as a client sees it, a worker's part being played on the real store."""

import json
import threading
import time
from typing import Any

import httpx
import pytest

from jobs.files.keys import new_id
from jobs.problems import Problem, ProblemType
from jobs.schemas import ImageSpec, Progress
from service.access.keys import KeyFile
from tests.service.conftest import Server, Start
from tests.service.routes.test_create import WAV, YAW, refused
from tests.support.processes import until
from tests.support.sse import events_of


def create(server: Server, portrait: bytes, **headers: str) -> str:
    response = server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": YAW}, headers=headers)
    assert response.status_code == 202
    return str(response.json()["id"])


def read(server: Server, job_id: str) -> dict[str, object]:
    response = server.client.get(f"/v1/jobs/{job_id}")
    assert response.status_code == 200
    job: dict[str, object] = response.json()
    return job


def test_polling_sees_queued_running_succeeded(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    assert read(server, job_id)["status"] == "queued"
    claim = server.claim(job_id)
    server.context.store.claims.progress(claim, Progress(stage="render", done=3, total=10))
    running = read(server, job_id)
    assert running["status"] == "running"
    assert running["progress"] == {"stage": "render", "done": 3, "total": 10}
    server.context.store.claims.give_back(claim)
    server.succeed(job_id)
    done = read(server, job_id)
    assert done["status"] == "succeeded"
    assert isinstance(done["result"], dict)
    assert (done["result"]["media_type"], done["result"]["width"]) == ("image/png", 256)
    assert str(done["expires_at"]) > str(done["finished_at"]) >= str(done["started_at"]) >= str(done["created_at"])


def test_the_result_has_an_etag_and_ranges(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    refused(server.client.get(f"/v1/jobs/{job_id}/result"), ProblemType.JOB_NOT_FINISHED)
    server.succeed(job_id, b"0123456789")

    def get(**headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return server.client.get(f"/v1/jobs/{job_id}/result", headers=names)

    whole = get()
    etag = whole.headers["etag"]
    assert (whole.status_code, whole.content, whole.headers["content-type"]) == (200, b"0123456789", "image/png")
    assert whole.headers["content-disposition"] == f'inline; filename="{job_id}.png"'
    assert etag == f'"{server.client.get(f"/v1/jobs/{job_id}").json()["result"]["sha256"]}"'
    head = server.client.head(f"/v1/jobs/{job_id}/result")
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers[name] for name in ("etag", "content-length", "content-type")} == {
        name: whole.headers[name] for name in ("etag", "content-length", "content-type")
    }
    assert get(If_None_Match=etag).status_code == 304
    assert get(If_None_Match=f'"other", W/{etag}').status_code == 304
    assert get(If_None_Match='"other"').status_code == 200
    part = get(Range="bytes=2-4")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert get(Range="bytes=-3").content == b"789"
    assert get(Range="bytes=7-").content == b"789"
    assert get(Range="bytes=2-4", If_Range=etag).status_code == 206
    assert get(Range="bytes=2-4", If_Range='"other"').status_code == 200
    for malformed in ("lines=1-2", "bytes=5-2", f"bytes={'9' * 5000}-"):
        assert get(Range=malformed).status_code == 200
    for beyond in ("bytes=10-", "bytes=-0"):
        outside = get(Range=beyond)
        refused(outside, ProblemType.RANGE_NOT_SATISFIABLE)
        assert outside.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize(
    "kind",
    [
        ProblemType.NO_FACE,
        ProblemType.NO_SUCH_FACE,
        ProblemType.UNREADABLE_MEDIA,
        ProblemType.SILENT_AUDIO,
        ProblemType.AUDIO_TOO_LONG,
        ProblemType.WORKER_LOST,
    ],
)
def test_a_failed_job_and_its_result_are_the_same_problem(server: Server, portrait: bytes, kind: ProblemType) -> None:
    job_id = create(server, portrait)
    server.context.store.claims.fail(server.claim(job_id), Problem.of(kind, "it says why", got=0, allowed=[1, 2]))
    job = read(server, job_id)
    assert job["status"] == "failed"
    result = refused(server.client.get(f"/v1/jobs/{job_id}/result"), kind)
    assert isinstance(job["error"], dict)
    kept = {name: value for name, value in job["error"].items() if value is not None}
    assert result == {**kept, "instance": f"{server.url}/v1/jobs/{job_id}/result"}
    assert (result["got"], result["allowed"]) == (0, [1, 2])


def test_unknown_jobs_are_not_found(server: Server, portrait: bytes) -> None:
    known = create(server, portrait)
    for job_id in (new_id(), "nonsense", "..%2f..%2fetc", f"{known}:spec", f"{known}:events"):
        for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
            refused(server.client.request(method, f"/v1/jobs/{job_id}{path}"), ProblemType.NOT_FOUND)


def test_a_waiting_job_is_canceled_at_once(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    response = server.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "canceled")
    assert server.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 200
    refused(server.client.get(f"/v1/jobs/{job_id}/result"), ProblemType.JOB_CANCELED)


def test_a_running_job_is_asked_to_stop(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    claim = server.claim(job_id)
    response = server.client.post(f"/v1/jobs/{job_id}/cancel")
    assert (response.json()["status"], response.json()["cancel_requested"]) == ("running", True)
    server.context.store.claims.cancel(claim)
    assert read(server, job_id)["status"] == "canceled"


def test_a_finished_job_cannot_be_canceled(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    server.succeed(job_id)
    problem = refused(server.client.post(f"/v1/jobs/{job_id}/cancel"), ProblemType.JOB_FINISHED)
    assert problem["got"] == "succeeded"


def test_a_failed_job_is_run_again_with_the_same_files(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    url = f"/v1/jobs/{job_id}/rerun"
    refused(server.client.post(url), ProblemType.JOB_NOT_FINISHED)
    first = server.claim(job_id)
    server.context.store.claims.fail(first, Problem.of(ProblemType.OUT_OF_MEMORY, "no memory"))
    response = server.client.post(url)
    again = response.json()
    assert (response.status_code, response.headers["location"]) == (202, again["urls"]["self"])
    assert (again["status"], again["error"]) == ("queued", None)
    server.client.delete(f"/v1/jobs/{job_id}")
    spec = server.claim(again["id"]).spec
    assert isinstance(spec, ImageSpec)
    assert isinstance(first.spec, ImageSpec)
    assert server.artifacts.path(spec.portrait.key).read_bytes() == portrait
    assert spec.model_copy(update={"portrait": first.spec.portrait}) == first.spec


def test_a_job_that_succeeded_is_made_again_from_the_same_input(server: Server, portrait: bytes) -> None:
    files = {"portrait": portrait, "audio": WAV}
    done = server.client.post("/v1/videos", files=files, data={"metadata": '{"order": "17"}'}).json()
    assert done["input"]["options"]["seed"] == int(done["id"][:8], 16)
    server.succeed(done["id"])
    again = server.client.post(f"/v1/jobs/{done['id']}/rerun").json()
    assert again["id"] != done["id"]
    assert (again["input"], again["metadata"]) == (done["input"], {"order": "17"})
    waited = server.client.post(f"/v1/jobs/{done['id']}/rerun", headers={"Prefer": "wait=0"})
    assert (waited.status_code, waited.headers["preference-applied"]) == (202, "wait=0")


def test_a_job_that_has_not_begun_by_its_deadline_fails(start: Start, portrait: bytes) -> None:
    server = start()

    def ask(deadline: str) -> httpx.Response:
        data = {"motion": YAW, "deadline": deadline}
        return server.client.post("/v1/images", files={"portrait": portrait}, data=data)

    for bad in ("0", "-1", "NaN", "1e9", "soon", "true", '"60"'):
        assert ask(bad).status_code in (400, 422)
    begun, waiting, patient = (ask(seconds).json() for seconds in ("3", "3", "60"))
    assert begun["created_at"] < begun["deadline"] < patient["deadline"]
    server.claim(begun["id"])
    until(lambda: read(server, waiting["id"])["status"] == "failed", "it waits on")
    problem = refused(server.client.get(waiting["urls"]["result"]), ProblemType.DEADLINE_MISSED)
    assert problem["detail"] == "the job did not begin within 3.0 s"
    assert [read(server, job["id"])["status"] for job in (begun, patient)] == ["running", "queued"]


def test_delete_removes_the_job_and_its_files(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)
    server.succeed(job_id)
    folder = server.artifacts.path(f"{job_id}/x").parent
    assert folder.is_dir()
    assert server.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert not folder.exists()
    refused(server.client.get(f"/v1/jobs/{job_id}"), ProblemType.NOT_FOUND)
    assert server.client.get("/v1/jobs").json() == {"jobs": [], "next_cursor": None}


def test_jobs_are_listed_newest_first_by_cursor(server: Server, portrait: bytes) -> None:
    made = [create(server, portrait) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = server.client.get("/v1/jobs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    refused(server.client.get("/v1/jobs?cursor=!!"), ProblemType.BAD_REQUEST)
    refused(server.client.get("/v1/jobs?limit=0"), ProblemType.INVALID_REQUEST)


def test_lists_have_what_they_are_asked_for(server: Server, portrait: bytes) -> None:
    def make(call: str, metadata: dict[str, str], **texts: str) -> str:
        files = {"source" if call == "motions" else "portrait": portrait}
        form = server.client.post(f"/v1/{call}", files=files, data={"metadata": json.dumps(metadata), **texts})
        return str(form.json()["id"])

    def listed(**query: Any) -> list[str]:
        response = server.client.get("/v1/jobs", params=query)
        assert response.status_code == 200, response.text
        return [job["id"] for job in response.json()["jobs"]]

    image = make("images", {"order": "17", "shop": "a:b"}, motion=YAW)
    motion = make("motions", {"order": "18"})
    plain = create(server, portrait)
    server.succeed(image)
    made = server.client.get(f"/v1/jobs/{motion}").json()["created_at"]
    assert listed() == [plain, motion, image]
    assert listed(status="queued") == [plain, motion]
    assert listed(status=["succeeded", "failed"]) == [image]
    assert listed(kind="image") == [plain, image]
    assert listed(kind=["image", "motion"], status="queued") == [plain, motion]
    assert listed(metadata="order:17") == listed(metadata=["order:17", "shop:a:b"]) == [image]
    assert listed(metadata="order:1") == listed(metadata=["order:17", "shop:b"]) == []
    assert listed(created_after=made) == [plain, motion]
    assert listed(created_before=made) == [image]
    assert listed(created_after=made, created_before=made) == []
    server.client.delete(f"/v1/jobs/{motion}")
    assert listed(created_after="2020-01-01T00:00:00+02:00") == listed(created_after="1970-01-01T00:00:00Z")
    assert listed(created_after="1970-01-01T00:00:00Z") == [plain, image]
    page = server.client.get("/v1/jobs", params={"kind": "image", "limit": 1}).json()
    assert listed(kind="image", limit=1, cursor=page["next_cursor"]) == [image]
    for wrong in ("status=done", "kind=photo", "created_after=yesterday", "created_after=2026-01-01T00:00:00",
                  "metadata=order", "metadata=:17", "metadata=a b:c", "metadata=a:17&metadata=a:18"):  # fmt: skip
        refused(server.client.get(f"/v1/jobs?{wrong}"), ProblemType.INVALID_REQUEST)


@pytest.mark.parametrize("parameter", ["created_after", "created_before"])
@pytest.mark.parametrize("value", ["0.5", "-5", "0", "1700000000", "1700000000000"])
def test_a_number_is_no_time(server: Server, parameter: str, value: str) -> None:
    response = server.client.get("/v1/jobs", params={parameter: value})
    problem = refused(response, ProblemType.INVALID_REQUEST)
    assert problem["got"] == value
    assert problem["allowed"] == "a time with its zone, as 2026-03-01T12:00:00Z"


def events(server: Server, job_id: str, **headers: str) -> list[dict[str, str]]:
    """The events of a job until the stream ends."""
    with server.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(events_of(response))


def test_events_follow_a_job_to_its_end_and_resume(server: Server, portrait: bytes) -> None:
    job_id = create(server, portrait)

    def work() -> None:
        claim = server.claim(job_id)
        for done in (1, 2):
            time.sleep(0.05)
            server.context.store.claims.progress(claim, Progress(stage="render", done=done, total=2))
        server.context.store.claims.fail(claim, Problem.of(ProblemType.NO_FACE, "no face"))

    worker = threading.Thread(target=work)
    worker.start()
    followed = events(server, job_id)
    worker.join()
    assert [(event["event"], json.loads(event["data"])) for event in followed] == [
        ("status", {"status": "queued"}),
        ("status", {"status": "running"}),
        ("progress", {"stage": "render", "done": 1, "total": 2}),
        ("progress", {"stage": "render", "done": 2, "total": 2}),
        ("status", {"status": "failed"}),
    ]
    assert events(server, job_id, **{"Last-Event-ID": followed[2]["id"]}) == followed[3:]
    assert events(server, job_id, **{"Last-Event-ID": followed[-1]["id"]}) == []
    for unknown in ("nonsense", f"{'9' * 20}-0"):
        assert events(server, job_id, **{"Last-Event-ID": unknown}) == followed


def test_a_quiet_stream_beats(server: Server, portrait: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.2)  # seconds; 15 is long for a test
    job_id = create(server, portrait)
    with server.client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        lines = response.iter_lines()
        beats = 0
        while beats < 2:
            beats += next(lines).startswith(":")
        server.client.post(f"/v1/jobs/{job_id}/cancel")
        assert '"canceled"' in "".join(lines)


def test_an_expired_job_is_gone_with_its_files(start: Start, portrait: bytes) -> None:
    server = start(retention_s=0.5)
    job_id = create(server, portrait)
    server.succeed(job_id)
    until(lambda: read(server, job_id)["status"] == "expired", "it does not expire")
    refused(server.client.get(f"/v1/jobs/{job_id}/result"), ProblemType.JOB_EXPIRED)
    told = server.client.get(f"/v1/jobs/{job_id}/events").text
    assert told.count("data: ") == 1
    assert 'data: {"status": "expired"}' in told
    last = told.partition("id: ")[2].split()[0]
    assert server.client.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": last}).text == ""
    until(lambda: not server.artifacts.path(f"{job_id}/x").parent.exists(), "its files stay")


def test_the_job_of_a_dead_worker_is_queued_again(start: Start, portrait: bytes) -> None:
    server = start()
    job_id = create(server, portrait)
    server.context.store.claims.claim(job_id, holder="dead:1", lease_s=0.1)
    until(lambda: server.queued_messages("images") == [job_id, job_id], "it is not queued again")
    assert read(server, job_id)["status"] == "queued"
    server.succeed(job_id)


def test_a_quiet_stream_ends_with_its_key(start: Start, portrait: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.jobs.HEARTBEAT_S", 0.2)
    server = start()
    keys = KeyFile(server.context.settings.keys_path)
    key, record = keys.make("me")
    server.client.headers["X-API-Key"] = key
    files, data = {"portrait": portrait}, {"motion": YAW}
    job = server.client.post("/v1/images", files=files, data=data).json()
    with server.client.stream("GET", job["urls"]["events"]) as response:
        time.sleep(0.5)
        keys.revoke(record.id)
        assert [event["data"] for event in events_of(response)] == ['{"status":"queued"}']
    assert server.context.store.get(job["id"]) is not None

"""The document against the running service: thousands of requests made from it, each answered as it says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from jobs.motions import Motion
from jobs.problems import Problem
from jobs.schemas import ImageOptions, Job, Metadata, MotionOptions, Motions, VideoOptions, WebhookMessage
from jobs.webhooks import Webhook, WebhookEvent
from service.app import create_app
from service.http.descriptions import FIELDS, HEADERS, SUMMARIES
from service.http.examples import EXAMPLES
from service.settings import Settings
from service.stores.portraits import Portrait
from service.webhooks.signing import job_payload
from tests.service.conftest import FIRST, Server, Start
from tests.support.processes import TURN

pytestmark = pytest.mark.slow

Json = dict[str, Any]

CONFIG = Path(__file__).with_name("schemathesis.toml")

OPERATIONS = {
    *("create_portrait", "list_portraits", "read_portrait", "fetch_portrait", "head_portrait"),
    "delete_portrait",
    *("create_image", "create_video", "create_motion"),
    *("list_jobs", "read_job", "follow_job", "fetch_result", "head_result", "cancel_job", "rerun_job", "delete_job"),
    *("read_stream", "fetch_init", "head_init", "fetch_segment", "head_segment"),
    *("fetch_speech", "head_speech"),
    *("read_webhook_secret", "list_webhook_deliveries", "send_test_webhook", "list_problems", "read_problem"),
    *("list_controls", "list_models", "list_voices", "list_limits", "read_live", "healthz", "readyz", "metrics"),
}


def test_schemathesis_finds_nothing(start: Start) -> None:
    server = start(max_wait_s=0.1, queue_limit=1_000_000, fetch=False)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    # So many for each operation, however long they take. Its phase "coverage" fails at forms with files.
    command += [f"{server.url}/openapi.json", "--phases", "examples,fuzzing,stateful", "--max-examples", "5"]
    command += ["--generation-database", "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None, done.stdout[-3000:]
    assert int(cases[1]) > 4 * len(OPERATIONS)
    print(f"{cases[1]} requests, 0 failures")  # noqa: T201
    assert server.client.get("/readyz").status_code == 200


@pytest.fixture(scope="module")
def document() -> Json:
    """It needs no Redis."""
    return create_app(Settings(redis_url="redis://127.0.0.1:1/0")).openapi()


@pytest.fixture(scope="module")
def operations(document: Json) -> dict[str, Json]:
    """By their ids."""
    return {each["operationId"]: each for path in document["paths"].values() for each in path.values()}


def test_operation_ids_are_stable(operations: dict[str, Json]) -> None:
    assert set(operations) == OPERATIONS


def test_it_is_the_one_that_is_served_and_printed(server: Server, document: Json) -> None:
    assert server.client.get("/openapi.json").json() == document
    printed = subprocess.run([sys.executable, "-m", "service.cli", "openapi"], capture_output=True, check=True)
    assert json.loads(printed.stdout) == document


def test_people_can_read_what_each_call_and_answer_is(document: Json, operations: dict[str, Json]) -> None:
    assert set(SUMMARIES) == OPERATIONS
    described = {tag["name"] for tag in document["tags"]}
    for call, operation in operations.items():
        assert set(operation["tags"]) <= described, call
        assert operation["description"], call
        for parameter in operation.get("parameters", ()):
            assert "$ref" in parameter or parameter["description"], (call, parameter)
        for status, answer in operation["responses"].items():
            assert answer["description"] not in ("", "Successful Response"), (call, status)
            for media_type, media in answer.get("content", {}).items():
                if media_type == "application/problem+json":
                    assert media["examples"], (call, status)


def test_problems_are_shown_with_the_answers_that_they_are(document: Json, operations: dict[str, Json]) -> None:
    for call, operation in operations.items():
        for status, answer in operation["responses"].items():
            for name in answer.get("content", {}).get("application/problem+json", {}).get("examples", ()):
                problem = Problem.model_validate(document["components"]["examples"][name]["value"])
                assert problem.status == int(status), (call, name)


def create(server: Server, portrait: bytes, **headers: str) -> httpx.Response:
    """An image."""
    return server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": TURN}, headers=headers)


def test_headers_that_come_are_declared(start: Start, portrait: bytes, operations: dict[str, Json]) -> None:
    server = start(api_keys=FIRST)
    refused = server.client.get("/v1/jobs")
    server.client.headers["X-API-Key"] = FIRST
    asked = {"Idempotency-Key": "one", "Prefer": "wait=0"}
    created, again = (create(server, portrait, **asked) for _ in range(2))
    job = created.json()["id"]
    early = server.client.get(f"/v1/jobs/{job}/result")
    server.succeed(job)
    whole = server.client.get(f"/v1/jobs/{job}/result")
    ranges = [server.client.get(whole.url, headers={"Range": f"bytes={each}"}) for each in ("0-1", "99-")]
    same = server.client.get(whole.url, headers={"If-None-Match": whole.headers["etag"]})
    answers = {
        "list_jobs": [refused, server.client.get("/v1/jobs")],
        "create_image": [created, again],
        "fetch_result": [early, whole, *ranges, same],
        "create_portrait": [server.client.post("/v1/portraits", files={"portrait": portrait})],
        "read_job": [server.client.get("/v1/jobs/none")],
    }
    seen = set()
    for call, responses in answers.items():
        for response in responses:
            declared = set(operations[call]["responses"][str(response.status_code)]["headers"])
            came = {name for name in HEADERS if name in response.headers}
            assert came <= declared, (call, response.status_code)
            seen |= came
    assert seen == set(HEADERS)


def test_what_was_made_leads_to_calls_that_take_it(operations: dict[str, Json], document: Json) -> None:
    for call in ("create_image", "create_video", "create_motion", "rerun_job", "create_portrait"):
        answers = operations[call]["responses"]
        linked = [answers[status]["links"] for status in ("200", "201", "202") if status in answers]
        assert linked, call
        for links in linked:
            for name, reference in links.items():
                assert reference == {"$ref": f"#/components/links/{name}"}
                link = document["components"]["links"][name]
                taken = {each["name"] for each in operations[link["operationId"]]["parameters"]}
                assert set(link["parameters"]) <= taken, (call, name)


def test_every_field_is_described_and_none_is_asked_for_without_need(document: Json) -> None:
    """Generators take a field with a default for one that is always there."""
    schemas = document["components"]["schemas"]
    fields = {
        f"{name}.{field}": said for name, each in schemas.items() for field, said in each.get("properties", {}).items()
    }
    assert [name for name, said in fields.items() if "description" not in said and "$ref" not in said] == []
    assert set(FIELDS) <= {*fields, *(name.partition(".")[2] for name in fields)}
    for name in ("ImageOptions", "VideoOptions", "MotionOptions", "ControlsMotion", "KeyframesMotion", "Webhook"):
        assert [field for field, said in schemas[name]["properties"].items() if "default" in said] == []


def test_webhooks_are_sent_as_they_are_described(server: Server, portrait: bytes, document: Json) -> None:
    assert set(document["webhooks"]) == {event.value for event in WebhookEvent}
    told = document["paths"]["/v1/videos"]["post"]["callbacks"]
    assert {event: list(each.values()) for event, each in told.items()} == {
        event: [{"$ref": f"#/webhooks/{event}"}] for event in document["webhooks"]
    }
    job = Job.model_validate(create(server, portrait).json())
    for event in WebhookEvent:
        body = job_payload(event, job)
        assert WebhookMessage.model_validate_json(body).type is event
        described = {each["name"] for each in document["webhooks"][event.value]["post"]["parameters"]}
        assert described == set(server.context.signer.headers("someone", "msg_1", 0, body))


def test_the_examples_are_what_they_say() -> None:
    schemas: dict[str, Any] = {
        "Motion": Motion, "Motions": Motions, "ImageOptions": ImageOptions, "VideoOptions": VideoOptions,
        "MotionOptions": MotionOptions, "Webhook": Webhook, "WebhookMessage": WebhookMessage, "Job": Job,
        "Portrait": Portrait, "Metadata": Metadata,
    }  # fmt: skip
    assert set(EXAMPLES) == set(schemas)
    for name, examples in EXAMPLES.items():
        for example in examples:
            TypeAdapter(schemas[name]).validate_python(example)


def test_every_error_is_declared(server: Server) -> None:
    """What any call that takes a key may answer, and what creating a job may."""
    paths: dict[str, Any] = server.client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            if path.startswith("/v1"):
                assert {"401", "403", "429", "503"} <= set(operation["responses"]), (method, path)
    for call in ("images", "videos", "motions"):
        declared = set(paths[f"/v1/{call}"]["post"]["responses"])
        assert {"400", "409", "410", "413", "415", "422", "507"} <= declared
        assert "examples" in server.client.get("/openapi.json").json()["components"]["schemas"]["Job"]


def test_a_wrong_method_is_told_the_right_ones(server: Server) -> None:
    job = "0" * 32
    for path, allowed in ((f"/v1/jobs/{job}", "DELETE, GET, HEAD"), (f"/v1/jobs/{job}/result", "GET, HEAD")):
        response = server.client.put(path)
        assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_the_longest_wait_is_the_one_set(start: Start) -> None:
    document = start(max_wait_s=5).client.get("/openapi.json").json()
    assert "at most 5)" in document["components"]["parameters"]["Prefer"]["description"]

"""The document against the running service: thousands of requests made from it, each answered as it says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from jobs.motions import Motion
from jobs.problems import Problem
from jobs.schemas import ImageOptions, Job, Metadata, MotionOptions, Motions, VideoOptions
from jobs.webhooks import Webhook
from service.http.examples import EXAMPLES
from service.stores.portraits import Portrait
from tests.service.conftest import Server, Start

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).with_name("schemathesis.toml")

OPERATIONS = {
    *("create_portrait", "list_portraits", "read_portrait", "delete_portrait"),
    *("create_image", "create_video", "create_motion"),
    *("list_jobs", "read_job", "follow_job", "fetch_result", "head_result", "cancel_job", "rerun_job", "delete_job"),
    *("read_stream", "fetch_init", "head_init", "fetch_segment", "head_segment"),
    *("fetch_speech", "head_speech"),
    *("read_webhook_secret", "list_webhook_deliveries", "send_test_webhook", "list_problems", "read_problem"),
    *("list_controls", "list_models", "list_voices", "healthz", "readyz", "metrics"),
}


def test_schemathesis_finds_nothing(start: Start) -> None:
    server = start(max_wait_s=0.1, queue_limit=1_000_000, fetch=False)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    command += [
        f"{server.url}/openapi.json",
        "--max-examples",
        "5",
        "--max-time",
        "12",
        "--generation-database",
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    cases = re.search(r"(\d+) generated", done.stdout)
    assert cases is not None, done.stdout[-3000:]
    assert int(cases[1]) > 200  # many more on an idle machine
    print(f"{cases[1]} requests, 0 failures")  # noqa: T201
    assert server.client.get("/readyz").status_code == 200


def test_operation_ids_are_stable(server: Server) -> None:
    paths: dict[str, Any] = server.client.get("/openapi.json").json()["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert sorted(ids) == sorted(OPERATIONS)


def test_the_examples_are_what_they_say() -> None:
    schemas: dict[str, Any] = {
        "Motion": Motion, "Motions": Motions, "ImageOptions": ImageOptions, "VideoOptions": VideoOptions,
        "MotionOptions": MotionOptions, "Webhook": Webhook, "Problem": Problem, "Job": Job, "Portrait": Portrait,
        "Metadata": Metadata,
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

"""How long what is kept: each setting, as answers tell it."""

from datetime import datetime
from typing import Any

import pytest

from jobs.problems import Problem, ProblemType
from service.background.upkeep import tidy
from tests.service.conftest import Server, Start
from tests.service.routes.test_create import YAW


def job(server: Server, job_id: str) -> dict[str, Any]:
    return dict(server.client.get(f"/v1/jobs/{job_id}").json())


def create(server: Server, portrait: bytes) -> str:
    answer = server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": YAW})
    return str(answer.json()["id"])


def kept_s(document: dict[str, Any]) -> float:
    ended, due = (datetime.fromisoformat(document[name]) for name in ("finished_at", "expires_at"))
    return (due - ended).total_seconds()


@pytest.mark.parametrize(
    ("settings", "ended_s", "canceled_s"),
    [
        ({}, 86_400, 600),
        ({"retention_s": 5000.0, "canceled_retention_s": 70.0}, 5000, 70),
        ({"retention_s": 300.0}, 300, 300),  # no longer than others
    ],
)
def test_an_ended_job_is_kept_as_long_as_the_settings_say(
    start: Start, portrait: bytes, settings: dict[str, float], ended_s: float, canceled_s: float
) -> None:
    server = start(**settings)
    succeeded, failed, canceled, waiting = (create(server, portrait) for _ in range(4))
    server.succeed(succeeded)
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))
    server.client.post(f"/v1/jobs/{canceled}/cancel")
    assert kept_s(job(server, succeeded)) == pytest.approx(ended_s, abs=0.01)
    assert kept_s(job(server, failed)) == pytest.approx(ended_s, abs=0.01)
    assert kept_s(job(server, canceled)) == pytest.approx(canceled_s, abs=0.01)
    assert "expires_at" not in job(server, waiting) or job(server, waiting)["expires_at"] is None


def test_a_setting_counts_for_what_is_made_after_it_was_changed(start: Start, portrait: bytes) -> None:
    before, after = start(retention_s=5000.0), start(retention_s=70.0)
    old, new = create(before, portrait), create(after, portrait)
    for each in (old, new):
        after.succeed(each)
    assert [round(kept_s(job(after, each))) for each in (old, new)] == [5000, 70]


def test_a_portrait_is_kept_from_its_last_use_on(start: Start, portrait: bytes) -> None:
    server = start(retention_s=500.0)
    kept = server.client.post("/v1/portraits", files={"portrait": portrait}).json()
    due = datetime.fromisoformat(kept["expires_at"])
    assert round((due - datetime.fromisoformat(kept["created_at"])).total_seconds()) == 500
    server.client.post("/v1/images", json={"portrait": {"id": kept["id"]}, "motion": {"controls": {"yaw": 2}}})
    used = server.client.get(f"/v1/portraits/{kept['id']}").json()
    assert datetime.fromisoformat(used["expires_at"]) > due


def test_what_waits_is_kept_however_long_it_waits(start: Start, portrait: bytes) -> None:
    server = start(retention_s=1e-6, canceled_retention_s=1e-6, housekeeping_s=3600)
    job_id = create(server, portrait)
    server.context.redis.hset(f"pirenderer:job:{job_id}", "created_at", "1.0")
    tidy(server.context)
    assert job(server, job_id)["status"] == "queued"

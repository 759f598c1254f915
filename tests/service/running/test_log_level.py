"""How much is logged, by processes as they are started."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, Service

SECRETS = {"AWS_SECRET_ACCESS_KEY": "aws-not-to-be-told", "PIRENDERER_API_KEYS": "key-not-to-be-told-" + "k" * 32}


def lines(service: Service, name: str) -> list[dict[str, object]]:
    found = (service.folder / f"{name}.log").read_text("utf-8").splitlines()
    return [json.loads(line) for line in found if line.startswith("{")]


@pytest.mark.parametrize("level", ["debug", "warning"])
def test_a_front_end_logs_what_it_is_told_to(tmp_path: Path, level: str) -> None:
    service = Service(tmp_path)
    try:
        service.start("redis")
        service.start("api", environment={"PIRENDERER_LOG_LEVEL": level, **SECRETS})
        header = {"Authorization": f"Bearer {SECRETS['PIRENDERER_API_KEYS']}"}
        form = {"portrait": (None, "data:image/png;base64,text-not-to-be-told")}
        assert service.client.get("/v1/jobs", headers=header).status_code == 200
        service.client.post("/v1/images", headers=header, files=form)
    finally:
        service.stop()
    found = lines(service, "api")
    told = {(line["level"], line.get("path")) for line in found}
    assert (("debug", "/healthz") in told) == (level == "debug")
    assert (("info", "/v1/jobs") in told) == (level == "debug")
    assert "not-to-be-told" not in service.log("api")
    ours = {"jobs", "service", "worker", "model"}
    assert {str(line["logger"]).partition(".")[0] for line in found if line["level"] == "debug"} <= ours


@pytest.mark.parametrize("command", [["serve"], ["api"], ["worker"]])
def test_a_level_that_there_is_not_is_named(tmp_path: Path, command: list[str]) -> None:
    environment = {"PIRENDERER_LOG_LEVEL": "loud", "PIRENDERER_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-m", "service.cli", *command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ended.returncode == 2
    assert "PIRENDERER_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error', got 'loud'" in ended.stderr
    assert "Traceback" not in ended.stderr

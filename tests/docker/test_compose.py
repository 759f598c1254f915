"""The container files say what the code understands: commands, settings, queue rules."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from service.cli import app
from service.settings import Settings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_one_image_runs_api_worker_and_training(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {services[name]["image"] for name in ("api", "worker", "train")} == {"pirenderer:latest"}
    assert services["api"]["command"][0] == "api"
    assert services["worker"]["command"] == ["worker"]
    assert services["train"]["entrypoint"] == ["pirenderer", "train"]


@pytest.mark.parametrize("arguments", [["api", "--help"], ["worker", "--help"], ["train", "renderer", "--help"]])
def test_commands_of_the_image_exist(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


def test_every_setting_named_is_one_that_is_read(compose: dict[str, Any]) -> None:
    overlay = yaml.safe_load((ROOT / "docker/gpu.yml").read_text())
    named = {name for service in compose["services"].values() for name in service.get("environment", {})}
    named |= {name for service in overlay["services"].values() for name in service.get("environment", {})}
    fields = [*Settings.model_fields, *WorkerSettings.model_fields]
    known = {f"PIRENDERER_{field.upper()}" for field in fields}
    assert {name for name in named if name.startswith("PIRENDERER_")} <= known
    assert named - known == {"REMAP_SIGTERM"}  # Celery's own


def test_redis_keeps_jobs() -> None:
    lines = (ROOT / "docker/redis.conf").read_text().splitlines()
    assert "appendonly yes" in lines
    assert "maxmemory-policy noeviction" in lines


def test_workers_can_be_scaled(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_dockerfile_copies_only_what_the_build_context_has() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert source in allowed
                assert (ROOT / source).exists()

"""The container files say what the code understands: commands, settings, queue rules."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from typer.testing import CliRunner

from jobs.settings import SECRETS
from service.access.control import InsecureSettingsError, check_exposure
from service.cli import app
from service.running.embedded import find_redis_server, free_port
from service.settings import Settings
from service.speech.espeak import PROGRAM
from tests.support.paths import ROOT
from tests.support.processes import until
from worker.settings import WorkerSettings


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
    services = [*compose["services"].items(), *overlay["services"].items()]
    for name, service in services:
        settings = Settings if name == "api" else WorkerSettings
        known = {f"PIRENDERER_{field.upper()}" for field in settings.model_fields}
        assert set(service.get("environment", {})) <= known | {"REMAP_SIGTERM"}  # Celery's own


def test_the_api_alone_has_keys_and_workers_reach_redis_alone(compose: dict[str, Any]) -> None:
    services = compose["services"]
    mounts = {name: {mount.split(":")[0] for mount in each.get("volumes", [])} for name, each in services.items()}
    assert [name for name, volumes in mounts.items() if "keys" in volumes] == ["api"]
    assert [name for name, each in services.items() if "PIRENDERER_API_KEYS" in each.get("environment", {})] == ["api"]
    assert Settings(keys_dir=services["api"]["environment"]["PIRENDERER_KEYS_DIR"]).keys_path == Path("/keys/keys.json")
    assert {name: each["networks"] for name, each in services.items() if "networks" in each} == {
        "redis": ["back"],
        "api": ["front", "back"],
        "worker": ["back"],
    }
    assert all(services[name]["network_mode"] == "none" for name in ("secrets", "train"))
    assert compose["networks"]["back"] == {"internal": True}


def test_containers_may_do_little(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        if name != "train":
            assert service["read_only"]
            assert service["pids_limit"] > 0
            assert "mem_limit" in service or name == "secrets"


def test_a_port_that_strangers_reach_needs_a_key(compose: dict[str, Any], tmp_path: Path) -> None:
    api = compose["services"]["api"]
    publish = api["environment"]["PIRENDERER_PUBLISH"]
    assert api["ports"] == [f"{publish}:8000"]
    default = publish.removeprefix("${PIRENDERER_PUBLISH:-").removesuffix("}")
    assert api["environment"]["PIRENDERER_ALLOW_OPEN"] == "${PIRENDERER_ALLOW_OPEN:-false}"
    settings = Settings(host=api["command"][2], data_dir=tmp_path, publish=default)
    check_exposure(settings)
    with pytest.raises(InsecureSettingsError, match="published at 8000"):
        check_exposure(settings.model_copy(update={"publish": "8000"}))


def test_redis_asks_for_the_password_that_was_made(compose: dict[str, Any], tmp_path: Path) -> None:
    secrets, redis_service = compose["services"]["secrets"], compose["services"]["redis"]

    def start() -> str:
        script = secrets["command"][0].replace("$$", "$")
        subprocess.run([*secrets["entrypoint"], script], cwd=tmp_path, check=True)
        return (tmp_path / "pirenderer_redis_url").read_text().strip()

    url = start()
    assert start() == url
    for name in ("api", "worker"):
        assert f"secrets:{SECRETS}:ro" in compose["services"][name]["volumes"]
    for settings in (Settings, WorkerSettings):
        assert settings(_secrets_dir=tmp_path).redis_url == url
    port = free_port()
    places = {"/etc/redis.conf": ROOT / "docker/redis.conf", "/run/secrets/redis.conf": tmp_path / "redis.conf"}
    command = [str(places.get(part, part)) for part in redis_service["command"][1:]]
    process = subprocess.Popen(
        [str(find_redis_server()), *command, "--port", str(port), "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis.from_url(url.replace("redis:6379", f"127.0.0.1:{port}"), decode_responses=True) as client:
            until(lambda: _answers(client), 20, "Redis does not start")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    finally:
        process.terminate()
        process.wait(10)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_redis_keeps_jobs() -> None:
    lines = (ROOT / "docker/redis.conf").read_text().splitlines()
    assert "appendonly yes" in lines
    assert "maxmemory-policy noeviction" in lines


def test_workers_can_be_scaled(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_the_image_has_what_speaks() -> None:
    installed = re.findall(r"apt-get install (.+) \\", (ROOT / "Dockerfile").read_text())
    assert PROGRAM in " ".join(installed).split()


def test_dockerfile_copies_only_what_the_build_context_has() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert source in allowed
                assert (ROOT / source).exists()

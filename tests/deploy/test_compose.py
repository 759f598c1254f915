"""The compose files say what Compose and the code understand: commands, settings, queue rules."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
from opentelemetry.sdk import environment_variables
from typer.testing import CliRunner

from jobs.settings import SECRETS, SharedSettings
from jobs.tracing import ENDPOINTS
from service.access.control import InsecureSettingsError, check_exposure
from service.access.keys import KeyFile
from service.cli import app
from service.settings import Settings
from service.variables import OTHERS
from tests.deploy.conftest import check_redis
from tests.support.compose import FILE, OVERLAYS, read, variables
from tests.support.paths import ROOT
from worker.settings import WorkerSettings

EXAMPLE = ROOT / "docker/example.env"
FOREIGN = {"REMAP_SIGTERM", "AWS_SHARED_CREDENTIALS_FILE"}  # Celery's and boto3's own
OPEN = "published at {}, without an API key would serve everyone"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read()


@pytest.mark.parametrize(
    "names",
    [(FILE,), *((overlay,) for overlay in OVERLAYS), *((FILE, overlay) for overlay in OVERLAYS), (FILE, *OVERLAYS)],
    ids=" ".join,
)
def test_compose_understands_the_files(names: tuple[str, ...]) -> None:
    schema = json.loads((ROOT / "tests/deploy/schemas/compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    merged = read(*names)
    assert not [f"{error.json_path}: {error.message}" for error in validator.iter_errors(merged)]
    assert not validator.is_valid({"services": {"worker": {**merged["services"]["worker"], "memory": "2g"}}})


def test_every_overlay_of_the_folder_is_tested() -> None:
    assert {f"docker/{path.name}" for path in (ROOT / "docker").glob("*.yml")} == set(OVERLAYS)


def test_the_front_ends_image_is_without_torch_and_a_gpu_has_an_image_of_its_own(compose: dict[str, Any]) -> None:
    services, on_gpu = compose["services"], read(FILE, "docker/gpu.yml")["services"]
    assert services["api"]["image"] == "pirenderer-api:latest"
    assert services["api"]["build"]["target"] == "api"
    for name in ("worker", "train"):
        assert services[name]["image"] == "pirenderer:latest"
        assert services[name]["build"]["target"] == on_gpu[name]["build"]["target"] == "worker"
        assert services[name]["build"]["args"]["TORCH_INDEX_URL"].endswith("/whl/cpu")
        assert on_gpu[name]["image"] not in (services[name]["image"], services["api"]["image"])
        assert on_gpu[name]["build"]["args"] == {"TORCH_INDEX_URL": ""}
    assert on_gpu["api"] == services["api"]


def test_commands_of_the_images_exist() -> None:
    for arguments in (["api", "--help"], ["worker", "--help"], ["healthy", "--help"], ["train", "renderer", "--help"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output


def known_variables(settings: type[SharedSettings]) -> set[str]:
    names = {f"PIRENDERER_{field.upper()}" for field in settings.model_fields}
    return names | {f"{name}_FILE" for name in names}


def test_every_setting_named_is_one_that_is_read() -> None:
    for name, service in read(FILE, *OVERLAYS)["services"].items():
        settings = Settings if name == "api" else WorkerSettings
        blanked = {each for each, value in service.get("environment", {}).items() if value == ""}
        assert set(service.get("environment", {})) - blanked <= known_variables(settings) | FOREIGN
        assert blanked <= known_variables(Settings)


def test_variables_of_the_files_are_explained_in_the_example() -> None:
    asked = set().union(*(variables(name) for name in (FILE, *OVERLAYS)))
    named = set(re.findall(r"^#?(\w+)=", EXAMPLE.read_text(), re.MULTILINE))
    assert asked <= named
    settings = known_variables(Settings) | known_variables(WorkerSettings)
    assert {name for name in named if name.startswith("PIRENDERER_")} <= settings | set(OTHERS)
    traces = {name for name in named if name.startswith("OTEL_")}
    assert traces & set(ENDPOINTS)
    assert traces <= set(vars(environment_variables)), "OpenTelemetry reads no others"
    assert {name for name in named - asked - traces if not name.startswith("PIRENDERER_")} == {"COMPOSE_FILE"}


def test_the_example_is_what_holds_without_it(compose: dict[str, Any]) -> None:
    given = dict(re.findall(r"^(\w+)=(.*)", EXAMPLE.read_text(), re.MULTILINE))
    assert given
    assert read(given=given) == compose
    files = re.findall(r"^#?COMPOSE_FILE=(.*)", EXAMPLE.read_text(), re.MULTILINE)
    assert [(ROOT / name).is_file() for name in files[0].split(":")] == [True, True]


def test_settings_come_from_one_file_that_need_not_be(compose: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        assert compose["services"][name]["env_file"] == [{"path": ".env", "required": False}]
    assert "/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_api_alone_has_keys_and_workers_reach_redis_alone(compose: dict[str, Any]) -> None:
    services = compose["services"]
    mounts = {name: {mount.split(":")[0] for mount in each.get("volumes", [])} for name, each in services.items()}
    assert [name for name, volumes in mounts.items() if "keys" in volumes] == ["api"]
    secret = {
        f"PIRENDERER_{name.upper()}" for name, field in Settings.model_fields.items() if "SecretStr" in str(field)
    }
    assert secret == {"PIRENDERER_API_KEYS", "PIRENDERER_TTS_KEY"}
    for name in secret:
        assert services["worker"]["environment"][name] == "", "the file of settings may have it"
    assert Settings(keys_dir=services["api"]["environment"]["PIRENDERER_KEYS_DIR"]).keys_path == Path("/keys/keys.json")
    assert {name: each["networks"] for name, each in services.items() if "networks" in each} == {
        "redis": ["back"],
        "api": ["front", "back"],
        "worker": ["back"],
    }
    assert all(services[name]["network_mode"] == "none" for name in ("secrets", "train"))
    assert compose["networks"]["back"] == {"internal": True}


@pytest.mark.parametrize("overlay", ["docker/s3.yml", "docker/traces.yml"])
def test_workers_reach_more_where_they_have_to(compose: dict[str, Any], overlay: str) -> None:
    services = read(FILE, overlay)["services"]
    assert set(services["api"]["networks"]) == set(services["worker"]["networks"]) == {"front", "back"}
    assert services["redis"] == compose["services"]["redis"]


def test_secrets_are_files_that_the_settings_name() -> None:
    merged = read(FILE, *OVERLAYS)
    for service in merged["services"].values():
        named = {path for path in service.get("environment", {}).values() if path.startswith(f"{SECRETS}/")}
        assert named == {f"{SECRETS}/{secret}" for secret in service.get("secrets", [])}
        mounted = [mount.split(":")[1] for mount in service.get("volumes", [])]
        assert str(SECRETS) not in mounted, "Compose mounts files of its own there"
    assert {name for name, each in merged["services"].items() if "c2pa_key" in each.get("secrets", [])} == {"worker"}
    assert "/secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_containers_may_do_little(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
        if name != "train":
            assert service["read_only"]
            assert service["pids_limit"] > 0
            assert "mem_limit" in service or name == "secrets"


def test_what_lasts_is_watched_and_has_time_to_stop(compose: dict[str, Any]) -> None:
    services = {name: each for name, each in compose["services"].items() if each["restart"] != "no"}
    assert set(services) == {"redis", "api", "worker"}
    for name, service in services.items():
        assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}
        assert service["stop_grace_period"].endswith("s")
        if name != "redis":
            assert service["healthcheck"]["test"] == ["CMD", "pirenderer", "healthy", name]


@pytest.mark.parametrize("key", ["none", "file", "setting"])
@pytest.mark.parametrize("allow_open", ["", "false", "true"])
@pytest.mark.parametrize(
    ("publish", "alone"),
    [
        ("", True),
        ("127.0.0.1:8000", True),
        ("127.0.0.2:80", True),
        ("[::1]:8000", True),
        ("8000", False),
        ("0.0.0.0:8000", False),
        ("[::]:8000", False),
        ("192.168.0.2:8000", False),
        ("127.0.0.1.example:8000", False),
    ],
)
def test_a_port_that_strangers_reach_needs_a_key(
    *, publish: str, alone: bool, allow_open: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = read(given={"PIRENDERER_PUBLISH": publish})["services"]["api"]
    published = api["environment"]["PIRENDERER_PUBLISH"]
    assert api["ports"] == [f"{published}:8000"]
    for name, value in {**api["environment"], "PIRENDERER_ALLOW_OPEN": allow_open}.items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    if key == "setting":
        monkeypatch.setenv("PIRENDERER_API_KEYS", "0123456789abcdef" * 2)
    settings = Settings(data_dir=tmp_path / "data", keys_dir=tmp_path)
    assert (settings.host, settings.port) == ("0.0.0.0", 8000), "which the check of health asks as well"
    if key == "file":
        KeyFile(settings.keys_path).make("owner")
    if alone or allow_open == "true" or key != "none":
        check_exposure(settings)
    else:
        with pytest.raises(InsecureSettingsError, match=re.escape(OPEN.format(published))):
            check_exposure(settings)


def test_redis_asks_for_the_password_that_was_made(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, redis_service = compose["services"]["secrets"], compose["services"]["redis"]
    folder = secrets["working_dir"]

    def start() -> str:
        subprocess.run([*secrets["entrypoint"], *secrets["command"]], cwd=tmp_path, check=True)
        return (tmp_path / "redis_url").read_text().strip()

    url = start()
    assert start() == url
    for name in ("api", "worker"):
        assert f"secrets:{folder}:ro" in compose["services"][name]["volumes"]
        assert compose["services"][name]["environment"]["PIRENDERER_REDIS_URL_FILE"] == f"{folder}/redis_url"
    monkeypatch.setenv("PIRENDERER_REDIS_URL_FILE", str(tmp_path / "redis_url"))
    assert Settings().redis_url == WorkerSettings().redis_url == url
    places = {"/etc/redis.conf": ROOT / "docker/redis.conf", f"{folder}/redis.conf": tmp_path / "redis.conf"}
    check_redis(redis_service["command"][1:], places, tmp_path, password=str(urlsplit(url).password))


def test_redis_keeps_jobs() -> None:
    lines = (ROOT / "docker/redis.conf").read_text().splitlines()
    assert "appendonly yes" in lines
    assert "maxmemory-policy noeviction" in lines


def test_workers_can_be_scaled() -> None:
    services = read(FILE, *OVERLAYS, given={"PIRENDERER_WORKERS": "2"})["services"]
    worker = services["worker"]
    assert worker["scale"] == "2"
    for name in ("container_name", "hostname", "ports"):  # which two cannot share
        assert name not in worker
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert [device["count"] for device in devices] == ["all"], "each takes one of those that no other has"

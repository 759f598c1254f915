"""The units of systemd say what it and the code understand, and a socket that it hands over is served."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from service.cli import app
from service.running.connections import GRACE_S
from service.running.embedded import free_port
from service.settings import Settings
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, until
from worker.settings import WorkerSettings

UNITS = ROOT / "deploy/systemd"
API, SOCKET, WORKER = "pirenderer-api.service", "pirenderer-api.socket", "pirenderer-worker@.service"
FOREIGN = {"CUDA_VISIBLE_DEVICES", "REMAP_SIGTERM"}  # CUDA's and Celery's own
PROGRAM = "/opt/pirenderer/bin/pirenderer"
SECRETS = {"PIRENDERER_API_KEYS", "PIRENDERER_TTS_KEY"}


def unit(name: str) -> dict[str, list[str]]:
    """What a unit says, by its names, whichever section they are in."""
    said: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            said.setdefault(key, []).append(value)
    return said


def environment(name: str) -> dict[str, str]:
    return dict(each.split("=", 1) for line in unit(name)["Environment"] for each in line.split())


def test_the_units_are_these() -> None:
    assert {path.name for path in UNITS.iterdir()} == {API, SOCKET, WORKER}


@pytest.mark.parametrize(("name", "settings"), [(API, Settings), (WORKER, WorkerSettings)])
def test_every_setting_named_is_one_that_is_read(name: str, settings: type[Settings] | type[WorkerSettings]) -> None:
    known = {f"PIRENDERER_{field.upper()}" for field in settings.model_fields}
    assert set(environment(name)) <= known | FOREIGN
    assert unit(name)["EnvironmentFile"] == ["-/etc/pirenderer/pirenderer.env"]
    folders = [path for key, path in environment(name).items() if key.endswith("_DIR")]
    assert folders == [f"/var/lib/{folder}" for folder in unit(name)["StateDirectory"][0].split()]


@pytest.mark.parametrize(("name", "command"), [(API, "api --fd 3"), (WORKER, "worker")])
def test_commands_exist(name: str, command: str) -> None:
    assert unit(name)["ExecStart"] == [f"{PROGRAM} {command}"]
    result = CliRunner().invoke(app, [command.split(maxsplit=1)[0], "--help"])
    assert result.exit_code == 0, result.output
    assert all(option in result.output for option in command.split()[1:] if option.startswith("--"))


def test_the_api_has_the_socket_and_time_to_leave_it() -> None:
    assert unit(API)["Requires"] == [SOCKET]
    assert len(unit(SOCKET)["ListenStream"]) == 1, "the first that is handed over has the number 3"
    assert unit(API)["Type"] == ["notify"]
    assert float(unit(API)["TimeoutStopSec"][0]) > GRACE_S
    assert unit(SOCKET)["ListenStream"][0].startswith("127.0.0.1:"), "strangers need a key"


def test_the_api_alone_has_keys() -> None:
    left_out = set(unit(WORKER)["UnsetEnvironment"][0].split())
    assert left_out == SECRETS | {f"{name}_FILE" for name in SECRETS}
    assert unit(WORKER)["InaccessiblePaths"] == [f"-{environment(API)['PIRENDERER_KEYS_DIR']}"]


def test_a_worker_is_one_gpus_and_gives_its_job_back() -> None:
    assert environment(WORKER)["CUDA_VISIBLE_DEVICES"] == "%i"
    assert environment(WORKER)["REMAP_SIGTERM"] == "SIGQUIT"
    assert unit(WORKER)["KillMode"] == ["mixed"], "the process that works is told by the one that watches it"
    assert not {"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"} & unit(WORKER).keys()


@pytest.mark.parametrize("name", [API, WORKER])
def test_a_service_is_confined_as_far_as_it_still_can_confine_its_own(name: str) -> None:
    said = unit(name)
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces", "RestrictSUIDSGID"):
        assert said[key] == ["yes"]
    assert said["ProtectSystem"] == ["strict"]
    assert said["CapabilityBoundingSet"] == [""]
    allowed = said["SystemCallFilter"][0].split()
    assert {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= set(allowed)
    assert not {"MemoryDenyWriteExecute", "PrivateIPC"} & said.keys(), "libraries compile; semaphores are shared"
    assert said["OOMPolicy"] == ["continue"], "a decoder that takes too much ends its job alone"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = tmp_path / "pirenderer"
    program.touch(mode=0o755)
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, str(program)))
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no"]
    names = [API, SOCKET, WORKER.replace("@", "@0")]
    done = subprocess.run(
        [*command, *names], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    wrong = tmp_path / API
    wrong.write_text(wrong.read_text().replace("OOMPolicy=", "OOMPolicies="))
    done = subprocess.run(
        [*command, API], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert "OOMPolicies" in done.stderr


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="no systemd-socket-activate here")
def test_a_socket_of_systemd_is_served(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    arguments = unit(API)["ExecStart"][0].split()[1:]
    command = [sys.executable, "-m", "service.cli", *arguments, "--redis-url", redis_url, "--data-dir", str(tmp_path)]
    names = [f"--setenv={name}" for name in os.environ if re.fullmatch(r"PYTHON\w+|PATH|COVERAGE\w+", name)]
    process = subprocess.Popen(
        ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *names, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )

    def answered() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=60, trust_env=False).is_success
        except httpx.ConnectError:  # it does not listen yet; once it does, what connects waits
            return False

    try:
        until(answered, "nobody answers")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM, "it ends by the signal, once it has left"

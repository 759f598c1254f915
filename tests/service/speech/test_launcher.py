"""What the program that speaks cannot do: a stand-in for it tries."""

import asyncio
import errno
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from jobs.confinement.confinement import OPEN_FILES
from jobs.confinement.landlock import landlock_version
from jobs.confinement.system_calls import ARCHITECTURES
from service.settings import Settings
from service.speech.espeak import KEPT, LAUNCHER, MEMORY_BYTES, NO_SOUND_SERVER, Espeak
from tests.support.processes import until

LISTING = " 5  en  --/M  English  gmw/en"

STAND_IN = f"""#!{Path(sys.executable).resolve()} -IS
import json, os, resource, socket, sys, threading

def tried(act):
    try:
        act()
        return 0
    except OSError as error:
        return error.errno

parent = os.getppid()
given = json.load(sys.stdin)
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
open_files = [each for each in range(64) if not tried(lambda: os.fstat(each))]
found = {{
    "library": tried(lambda: open(os.__file__).close()),
    "users": tried(lambda: open("/etc/passwd")),
    "keys": tried(lambda: open(f"/proc/{{parent}}/environ")),
    "secret": tried(lambda: open(given["secret"])),
    "list": tried(lambda: os.listdir(given["folder"])),
    "run": tried(lambda: os.execv(given["other"], ["other"])),
    "write": tried(lambda: open(given["secret"], "w")),
    "make": tried(lambda: open(given["folder"] + "/made", "w")),
    "remove": tried(lambda: os.remove(given["secret"])),
    "mode": tried(lambda: os.chmod(given["secret"], 0)),
    "rename": tried(lambda: os.rename(given["secret"], given["folder"] + "/moved")),
    "socket": tried(lambda: socket.socket(socket.AF_UNIX)),
    "connect": tried(lambda: socket.create_connection(("127.0.0.1", given["port"]), 5)),
    "kill": tried(lambda: os.kill(parent, 0)),
    "limit": tried(lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE)),
    "fork": tried(os.fork),
    "spawn": tried(lambda: os.posix_spawn("/bin/true", ["true"], {{}})),
    "open": open_files,
    "environment": sorted(os.environ),
}}
for limit in ("AS", "CPU", "FSIZE", "CORE", "NOFILE"):
    found[limit] = resource.getrlimit(getattr(resource, "RLIMIT_" + limit))[1]
print(json.dumps(found))
"""


def _tried(program: Path, **given: Any) -> dict[str, Any]:
    """What the stand-in says in place of speech."""
    espeak = Espeak(str(program), LISTING, Settings(tts_timeout_s=7))

    async def said() -> bytes:
        return b"".join([chunk async for chunk in espeak.synthesize(json.dumps(given), "en")])

    return dict(json.loads(asyncio.run(said())))


def test_what_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPEAK_DATA_PATH", sys.base_prefix)  # what the stand-in needs lies there
    monkeypatch.setenv("PIRENDERER_API_KEYS", "a-secret" * 4)
    (tmp_path / "bin").mkdir()
    program, secret, other = tmp_path / "bin/espeak-ng", tmp_path / "secret", tmp_path / "bin/other"
    program.write_text(STAND_IN)
    other.write_text("#!/bin/sh\n")
    for each in (program, other):
        each.chmod(0o700)
    secret.write_text("a-secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found = _tried(program, secret=str(secret), folder=str(tmp_path), other=str(other), port=port)
    assert found["library"] == 0
    assert found["open"] == [0, 1, 2]
    assert set(found["environment"]) <= {*KEPT, *NO_SOUND_SERVER, "LC_CTYPE"}  # the last is its own doing
    limits = {"AS": MEMORY_BYTES, "CPU": 8, "FSIZE": 0, "CORE": 0, "NOFILE": OPEN_FILES}
    assert {name: found[name] for name in limits} == limits
    if platform.machine() in ARCHITECTURES and "Seccomp:" in Path("/proc/self/status").read_text():
        refused = {"socket", "connect", "kill", "limit", "fork", "spawn", "remove", "mode", "rename"}
        assert {act: found[act] for act in refused} == dict.fromkeys(refused, errno.EPERM)
    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
    refused = {"users", "keys", "secret", "list", "run", "write", "make"}
    assert {act: found[act] for act in refused} == dict.fromkeys(refused, errno.EACCES)
    assert secret.read_text() == "a-secret"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bin", "secret"]


def test_it_ends_with_who_asked_for_it() -> None:
    """Though that is killed, and had no time to end it."""
    sleep = shutil.which("sleep")
    assert sleep is not None
    command = [*LAUNCHER, str(MEMORY_BYTES), "10", sleep, "600"]
    asks = f"import subprocess; subprocess.run({command})"
    with subprocess.Popen([sys.executable, "-c", asks]) as asking:
        found: list[psutil.Process] = []

        def begins() -> list[psutil.Process]:
            found[:] = [each for each in psutil.Process(asking.pid).children() if each.name() == "sleep"]
            return found

        until(begins, "nothing begins")
        asking.kill()
    until(lambda: not found[0].is_running() or found[0].status() == psutil.STATUS_ZOMBIE, "it goes on")


def test_the_environment_is_passed_on_as_it_is() -> None:
    command = [*LAUNCHER, str(MEMORY_BYTES), "10", str(shutil.which("env"))]
    printed = subprocess.run(command, env={"PATH": "/usr/bin"}, capture_output=True, check=True).stdout
    assert printed == b"PATH=/usr/bin\n"


def test_a_program_that_cannot_be_run_is_told_by_the_code() -> None:
    command = [*LAUNCHER, str(MEMORY_BYTES), "10", "/nowhere/espeak-ng"]
    assert subprocess.run(command, check=False).returncode == os.EX_UNAVAILABLE

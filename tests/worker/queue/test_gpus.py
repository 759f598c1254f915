"""Workers of a machine with several GPUs. What lists them is a program of ours; all else is as with real ones."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, Service, until

TAKE = """
import os, sys
from pathlib import Path
from jobs.logs import configure_logging
from worker.queue.gpus import take_gpu

configure_logging()
assert take_gpu(sys.argv[1], Path(sys.argv[2])) in (None, os.environ.get("CUDA_VISIBLE_DEVICES"))
print(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
sys.stdin.read()
"""

Take = Callable[..., "subprocess.Popen[str]"]


def listing(folder: Path, *gpus: str, status: int = 0) -> str:
    """A PATH on which nvidia-smi lists these."""
    folder.mkdir()
    program = folder / "nvidia-smi"
    lines = "\n".join(gpus)
    program.write_text(
        f'#!/bin/sh\n[ "$*" = "--query-gpu=uuid --format=csv,noheader" ] && echo "{lines}"\nexit {status}\n'
    )
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def take(tmp_path: Path) -> Iterator[Take]:
    """Starts a process that takes a GPU and holds it."""
    started = []

    def start(path: str, device: str = "auto", **environment: str) -> "subprocess.Popen[str]":
        given = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        process = subprocess.Popen(
            [sys.executable, "-c", TAKE, device, str(tmp_path / "gpus")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=ROOT, env={**given, "PATH": path, "PYTHONPATH": str(ROOT), **environment}, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def seen(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_worker_takes_a_gpu_of_its_own(take: Take, tmp_path: Path) -> None:
    path = listing(tmp_path / "bin", "GPU-a", "GPU-b")
    first, second = take(path), take(path, "cuda")
    assert {seen(first), seen(second)} == {"GPU-a", "GPU-b"}
    assert {seen(take(path)), seen(take(path))} == {"GPU-a", "GPU-b"}, "the fewest have"
    assert (tmp_path / "gpus").stat().st_mode & 0o077 == 0


def test_the_gpu_of_a_worker_that_was_killed_is_the_next_ones(take: Take, tmp_path: Path) -> None:
    path = listing(tmp_path / "bin", "GPU-a", "GPU-b", "GPU-c")
    workers = {seen(process): process for process in (take(path), take(path), take(path))}
    assert set(workers) == {"GPU-a", "GPU-b", "GPU-c"}
    workers["GPU-b"].kill()
    workers["GPU-b"].wait(PATIENCE_S)
    assert seen(take(path)) == "GPU-b"


@pytest.mark.parametrize(
    ("gpus", "status", "device", "environment"),
    [
        (["GPU-a"], 0, "auto", {}),
        ([], 9, "auto", {}),
        (["GPU-a", "GPU-b"], 9, "auto", {}),
        (["GPU-a", "GPU-b"], 0, "cpu", {}),
        (["GPU-a", "GPU-b"], 0, "cuda:1", {}),
        (["GPU-a", "GPU-b"], 0, "auto", {"CUDA_VISIBLE_DEVICES": "1"}),
        (["GPU-a", "GPU-b"], 0, "auto", {"CUDA_VISIBLE_DEVICES": ""}),
    ],
    ids=["one", "none", "no-driver", "cpu", "device", "visible", "hidden"],
)
def test_nothing_is_taken_where_nothing_is_to_be_chosen(
    gpus: list[str], status: int, device: str, environment: dict[str, str], *, take: Take, tmp_path: Path
) -> None:
    process = take(listing(tmp_path / "bin", *gpus, status=status), device, **environment)
    assert seen(process) == environment.get("CUDA_VISIBLE_DEVICES", "all")
    assert not (tmp_path / "gpus").exists()


@pytest.mark.slow
def test_the_process_that_works_sees_its_gpu_alone_and_the_worker_is_named_by_its_host(
    take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    path = listing(tmp_path / "bin", "GPU-a", "GPU-b")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gpus").symlink_to(tmp_path / "gpus")
    other = seen(take(path))
    service = Service(tmp_path)
    try:
        service.start("redis")
        service.start("worker", environment={"PATH": path})
        name = f"pirenderer-{service.processes['worker'].pid}@{socket.gethostname()}"
        until(lambda: f"{name} ready" in service.log("worker"), lambda: service.log("worker"))
        child = service.child()
        assert child is not None
        assert {other, child.environ()["CUDA_VISIBLE_DEVICES"]} == {"GPU-a", "GPU-b"}
    finally:
        service.stop()

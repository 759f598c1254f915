"""Decoding in children: what comes out is what the plain readers give, and a child that misbehaves costs one piece."""

import contextlib
import errno
import platform
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from PIL import Image

from jobs.confinement.confinement import OPEN_FILES
from jobs.confinement.landlock import landlock_version
from jobs.confinement.system_calls import ARCHITECTURES
from jobs.problems import ProblemError, ProblemType
from tests.support.limits import IMAGE_LIMITS, SOUND_LIMITS, VIDEO_LIMITS
from tests.support.processes import PATIENCE_S
from worker import decoding
from worker.decoding import forkserver, readers
from worker.decoding.confinement import Bounds
from worker.decoding.decoding import STALL_S, DecoderError, Decoding
from worker.media import images
from worker.stages import Check, unchecked

MIB = 1 << 20
IMAGES, SOUNDS, VIDEOS = IMAGE_LIMITS, SOUND_LIMITS, VIDEO_LIMITS

# A forkserver whose children can do a few things more, all of them bad.
MISBEHAVING = """
import ctypes, hashlib, os, resource, socket, threading, time
from pathlib import Path
import numpy as np
from worker.decoding import child
from worker.decoding.__main__ import serve

def hang(path):
    yield {"begins": True}, None
    time.sleep(600)

def burn(path):
    while True:
        pass
    yield

def crowd(path):
    def compute():
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)  # which lets other threads run
    threads = [threading.Thread(target=compute) for _ in range(4 * os.cpu_count())]
    for thread in threads:
        thread.start()
    yield {"begins": True}, None
    threads[0].join()

def eat(path):
    held = []
    while True:
        held.append(np.ones(1 << 20, np.uint8))
    yield

def crash(path):
    ctypes.string_at(0)
    yield

def fail(path):
    raise KeyError("no such table")
    yield

def tried(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0

def peek(handed, *, other):
    yield {"other": tried(lambda: Path(other).read_bytes()), "null": tried(lambda: open("/dev/null"))}, None

def look(path, *, other, port):
    yield {
        "file": tried(lambda: path.read_bytes()),
        "other": tried(lambda: Path(other).read_bytes()),
        "list": tried(lambda: os.listdir(path.parent)),
        "write": tried(lambda: path.write_bytes(b"x")),
        "make": tried(lambda: path.with_name("made").touch()),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", port), 5)),
        "signal": tried(lambda: os.kill(os.getppid(), 0)),
        "socket": tried(lambda: socket.socket(socket.AF_UNIX)),
        "process": tried(lambda: os.posix_spawn("/bin/true", ["true"], {})),
        "rename": tried(lambda: os.rename(path, path.with_name("moved"))),
        "mode": tried(lambda: path.chmod(0)),
        "limit": tried(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))),
        "own limit": tried(lambda: resource.prlimit(0, resource.RLIMIT_NOFILE)),
        "kill": tried(lambda: os.kill(os.getppid(), 0)),
        "environment": dict(os.environ),
    }, None

for task in (hang, burn, crowd, eat, crash, fail, peek, look):
    child.TASKS[task.__name__] = task
serve()
"""


@pytest.fixture(scope="module", autouse=True)
def _misbehaving() -> Iterator[None]:
    """Children that misbehave when asked to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIRENDERER_API_KEYS", "a-secret")
        patch.setattr(forkserver, "COMMAND", (sys.executable, "-c", MISBEHAVING))
        decoding.start_forkserver(instead_of=decoding.start_forkserver())
        yield
    decoding.start_forkserver(instead_of=decoding.start_forkserver())


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "a.png"
    Image.fromarray(noise(64, 48)).save(path)
    return path


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, channels), np.uint8)
    return small.repeat(16, axis=0).repeat(16, axis=1)


def asked(
    task: str,
    path: Path | None,
    *,
    memory: int = 256 * MIB,
    seconds: int = 20,
    check: Check = unchecked,
    room: int = 4096,
    stall_s: float = STALL_S,
    **arguments: Any,
) -> Decoding:
    bounds = Bounds(memory=memory, seconds=seconds)
    return Decoding(
        task, path, name="file", bounds=bounds, check=check, arguments=arguments, room=room, stall_s=stall_s
    )


def refusal(task: str, path: Path, **bounds: Any) -> ProblemError:
    with asked(task, path, **bounds) as child, pytest.raises(ProblemError) as caught:
        said_all(child)
    return caught.value


def said_all(child: Decoding) -> None:
    while True:
        child.header()


def server() -> psutil.Process:
    return psutil.Process(decoding.start_forkserver().pid)


def all_gone(picture: Path) -> bool:
    """Whether no child is left, and the next piece of decoding is done."""
    return not server().children() and decoding.read_image(picture, IMAGES).shape == (64, 48, 3)


def test_one_that_hangs(picture: Path) -> None:
    error = refusal("hang", picture, stall_s=1.0)
    assert error.problem_type is ProblemType.TOO_COSTLY
    assert "hangs: for 1 seconds nothing came" in error.detail
    assert all_gone(picture)


def test_one_whose_threads_keep_each_other_waiting(picture: Path) -> None:
    assert refusal("crowd", picture, seconds=600, stall_s=0.5).problem_type is ProblemType.TOO_COSTLY
    assert all_gone(picture)


def test_one_that_computes_for_ever(picture: Path) -> None:
    error = refusal("burn", picture, seconds=1)
    assert (error.problem_type, error.allowed) == (ProblemType.TOO_COSTLY, 1)
    assert "more than 1 seconds of computing" in error.detail
    assert all_gone(picture)


def test_one_that_takes_memory(picture: Path) -> None:
    error = refusal("eat", picture, memory=64 * MIB)
    assert (error.problem_type, error.allowed) == (ProblemType.TOO_COSTLY, 64 * MIB)
    assert "more than 64 MiB of memory" in error.detail
    assert all_gone(picture)


def test_one_that_breaks_down(picture: Path) -> None:
    error = refusal("crash", picture)
    assert error.problem_type is ProblemType.UNREADABLE_MEDIA
    assert "its decoder broke down" in error.detail
    assert all_gone(picture)


def test_a_fault_of_ours_is_told_as_one(picture: Path) -> None:
    with pytest.raises(DecoderError, match="no such table"), asked("fail", picture) as child:
        child.header()
    assert all_gone(picture)


def test_work_that_is_called_off(picture: Path) -> None:
    """At once, though the child says nothing; and whoever stops in the middle need not say so."""

    class CalledOffError(Exception):
        pass

    def check() -> None:
        if time.monotonic() > begun + 0.5:
            raise CalledOffError

    begun = time.monotonic()
    with asked("hang", picture, check=check) as child, pytest.raises(CalledOffError):
        said_all(child)
    assert all_gone(picture)
    with asked("image", picture, room=MIB, limits=vars(IMAGES), name="file") as child:
        assert child.array(np.uint8).shape == (64, 48, 3)
    assert all_gone(picture)


def test_what_is_given_up(picture: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_bytes(b"x")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with asked("look", own, other=str(picture), port=port) as child:
            found = child.header()
    assert found["file"] == 0
    assert found["write"] in (errno.EACCES, errno.EFBIG)
    assert "a-secret" not in str(found["environment"])
    assert not [name for name in found["environment"] if name.startswith("PIRENDERER") or "REDIS" in name]
    assert b"a-secret" not in Path(f"/proc/{server().pid}/environ").read_bytes()
    if platform.machine() in ARCHITECTURES and "Seccomp:" in Path("/proc/self/status").read_text():
        assert {found[act] for act in ("socket", "process", "rename", "mode", "limit", "kill")} == {errno.EPERM}
        assert found["own limit"] == 0
    version = landlock_version()
    if not version:
        pytest.skip("this kernel has no Landlock")
    assert {found[act] for act in ("other", "list", "write", "make")} == {errno.EACCES}
    if version >= 4:
        assert found["connect"] in (errno.EACCES, errno.EPERM)
    if version >= 6:
        assert found["signal"] == errno.EPERM


def test_one_that_decodes_what_is_handed_over_opens_no_file(picture: Path) -> None:
    if not landlock_version():
        pytest.skip("this kernel has no Landlock")
    with asked("peek", None, other=str(picture)) as child:
        assert child.header() == {"other": errno.EACCES, "null": errno.EACCES}


@pytest.mark.parametrize("told", [-2.0, 0.0, float("nan"), float("inf"), 1e9, None])
def test_what_a_file_says_of_its_length_lifts_no_bound(told: float | None) -> None:
    assert readers._computing_s(told, 100.0, 0.5) == readers.HEADER.seconds + 50
    assert readers._computing_s(3.0, 100.0, 0.5) == readers.HEADER.seconds + 2


def test_limits_are_in_force(picture: Path) -> None:
    with asked("hang", picture, memory=100 * MIB, seconds=7) as child:
        child.header()
        (process,) = server().children()
        limits = {
            name: process.rlimit(number)[1]
            for name, number in vars(resource).items()
            if name in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NOFILE")
        }
        memory = limits.pop("RLIMIT_AS")
        assert limits == {"RLIMIT_CPU": 8, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": OPEN_FILES}
        assert memory <= server().memory_info().vms + 101 * MIB
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
        assert "Threads:\t1" in Path(f"/proc/{server().pid}/status").read_text()


def test_a_forkserver_that_dies(picture: Path) -> None:
    """Its children die with it; the next piece of decoding is done by another."""
    with asked("hang", picture) as child:
        child.header()
        (process,) = server().children()
        killed = server()
        killed.send_signal(signal.SIGKILL)
        with pytest.raises(DecoderError, match="gone"):
            child.header()
        with contextlib.suppress(psutil.NoSuchProcess):
            process.wait(PATIENCE_S)
    decoding.read_image(picture, IMAGES)
    assert server() != killed


def test_signals_that_stop_a_worker_are_left_to_it(picture: Path) -> None:
    decoding.read_image(picture, IMAGES)
    told = server()
    for number in (signal.SIGINT, signal.SIGTERM):
        told.send_signal(number)
    decoding.read_image(picture, IMAGES)
    assert server() == told


def test_several_at_once(picture: Path) -> None:
    known = images.read_image(picture, IMAGE_LIMITS)
    right: list[bool] = []

    def read() -> None:
        right.extend(np.array_equal(decoding.read_image(picture, IMAGES), known) for _ in range(5))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert right == [True] * 15

"""No shared memory: Celery's pool finds no semaphores."""

import subprocess
import sys

import pytest

from tests.support.processes import PATIENCE_S, ROOT

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("command", "code"), [("worker", 2), ("doctor", 1)])
def test_a_machine_without_semaphores_is_told(command: str, code: int) -> None:
    """In a mount namespace whose /dev/shm cannot be written."""
    inside = [
        "unshare",
        "--mount",
        "--map-root-user",
        "sh",
        "-c",
        'mount -t tmpfs -o ro none /dev/shm && exec "$@"',
        "-",
    ]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")
    line = [*inside, sys.executable, "-m", "service.cli", command]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, said
    assert "no semaphore can be made" in said
    assert "/dev/shm must be there, writable and not full" in said
    assert "Traceback" not in said

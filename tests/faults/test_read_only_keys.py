"""Keys and the service's secret in a folder that nobody may write to, as a cluster mounts them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.access.keys import KeyFile, KeyScope
from service.running.embedded import free_port
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, until

pytestmark = pytest.mark.slow
SECRET = b"s" * 32


def mounted(folder: Path, **files: bytes) -> Path:
    """Files as Kubernetes lays out those of a Secret: links to links, so that all of them change at once."""
    version = folder / f"..{len([*folder.glob('..*')])}"
    version.mkdir(parents=True)
    for name, data in files.items():
        (version / name.replace("_", ".")).write_bytes(data)
        (version / name.replace("_", ".")).chmod(0o444)
    link = folder / "..link"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    for path in version.iterdir():
        if not (folder / path.name).is_symlink():
            (folder / path.name).symlink_to(f"..data/{path.name}")
    return folder


def made(folder: Path, *scopes: KeyScope) -> tuple[str, bytes]:
    """A key, and a file of all keys that were made there."""
    file = KeyFile(folder / "keys.json")
    key, _ = file.make("team", scopes=frozenset(scopes or KeyScope))
    return key, (folder / "keys.json").read_bytes()


def inside(folder: Path, *arguments: str) -> list[str]:
    """The command line where the folder is mounted to be read."""
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    start = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(folder)]
    if subprocess.run([*start, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")
    return [*start, sys.executable, "-m", "service.cli", *arguments]


def environment(tmp_path: Path, keys: Path, redis_url: str) -> dict[str, str]:
    given = {"PIRENDERER_DATA_DIR": str(tmp_path / "data"), "PIRENDERER_KEYS_DIR": str(keys)}
    return os.environ | given | {"PIRENDERER_REDIS_URL": redis_url}


@contextmanager
def api(tmp_path: Path, keys: Path, redis_url: str) -> Iterator[httpx.Client]:
    port = free_port()
    line = inside(keys, "api", "--host", "0.0.0.0", "--port", str(port))
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(line, cwd=ROOT, env=environment(tmp_path, keys, redis_url), stderr=log, stdout=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            until(lambda: _answers(client, process), (tmp_path / "log").read_text)
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        log.close()


def _answers(client: httpx.Client, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def test_front_ends_serve_with_keys_that_they_cannot_write(tmp_path: Path, redis_url: str) -> None:
    key, data = made(tmp_path)
    metrics, more = made(tmp_path, KeyScope.METRICS)
    keys = mounted(tmp_path / "keys", keys_json=data, webhooks_key=SECRET)
    with api(tmp_path, keys, redis_url) as client:
        assert client.get("/v1/jobs").status_code == 401
        client.headers["Authorization"] = f"Bearer {key}"
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/v1/webhooks/secret").status_code == 200
        client.headers["Authorization"] = f"Bearer {metrics}"
        assert client.get("/metrics").status_code == 401
        mounted(keys, keys_json=more, webhooks_key=SECRET)  # which is how a Secret comes to change
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/jobs").status_code == 403
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "webhooks.key is missing, and cannot be made in a folder that is not to be written"),
        ({"webhooks_key": b"short"}, "webhooks.key holds 5 bytes instead of 32"),
    ],
)
def test_a_secret_that_cannot_be_used_is_told_at_the_start(
    files: dict[str, bytes], why: str, tmp_path: Path, redis_url: str
) -> None:
    _, data = made(tmp_path)
    keys = mounted(tmp_path / "keys", keys_json=data, **files)
    line = inside(keys, "api", "--host", "0.0.0.0", "--port", "0")
    done = subprocess.run(
        line, cwd=ROOT, env=environment(tmp_path, keys, redis_url), capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert why in said
    assert "Traceback" not in said

"""What is built of deploy/kubernetes: each overlay, and the kustomization of the documents."""

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis

from service.running.embedded import find_redis_server, free_port
from tests.support import kubectl
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, until

Objects = tuple[dict[str, Any], ...]
KUBERNETES = ROOT / "deploy" / "kubernetes"
PAGE = (ROOT / "docs/operations/kubernetes.md").read_text()
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())


def snippets(language: str) -> list[str]:
    """The blocks of a language in the page on clusters."""
    return re.findall(rf"(?ms)^```{language}\n(.+?)^```$", PAGE)


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Objects]:
    """Builds what has that name: an overlay, `documented`, or `signed`, which is that with the component c2pa."""
    folder = tmp_path_factory.mktemp("kustomize")
    (folder / "pirenderer").symlink_to(ROOT)
    (folder / "cluster").mkdir()
    (folder / "cluster" / "kustomization.yaml").write_text(snippets("yaml")[0])
    (folder / "signed").mkdir()
    signed = snippets("yaml")[0].replace("components/gpu", "components/c2pa")
    (folder / "signed" / "kustomization.yaml").write_text(signed)
    own = {"documented": folder / "cluster", "signed": folder / "signed"}
    return lambda name: kubectl.built(own.get(name, KUBERNETES / "overlays" / name))


@pytest.fixture(params=[*OVERLAYS, "documented"])
def objects(request: pytest.FixtureRequest, build: Callable[[str], Objects]) -> Objects:
    """The objects of each of them."""
    return build(request.param)


@pytest.fixture
def everything(build: Callable[[str], Objects]) -> Objects:
    """The objects of the one with most."""
    return build("documented")


def of_kind(objects: Objects, *kinds: str) -> dict[str, dict[str, Any]]:
    """Objects by their names."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in kinds}


def pods(objects: Objects) -> dict[str, dict[str, Any]]:
    """The templates of pods by the names of what makes them."""
    return {name: each["spec"]["template"] for name, each in of_kind(objects, "Deployment", "StatefulSet").items()}


def container(template: dict[str, Any]) -> dict[str, Any]:
    """The one container of a pod."""
    (only,) = template["spec"]["containers"]
    return dict(only)


def settings(objects: Objects) -> dict[str, str]:
    """The settings of front-ends and workers."""
    (maps,) = [each for name, each in of_kind(objects, "ConfigMap").items() if not name.startswith("pirenderer-redis")]
    return dict(maps["data"])


def check_redis(arguments: Sequence[str], places: Mapping[str, Path], folder: Path, password: str) -> None:
    """A Redis that is started by these arguments, with its files at other places, keeps jobs and knows its password."""
    port = free_port()
    line = [str(places.get(argument, argument)) for argument in arguments]
    process = subprocess.Popen(
        [str(find_redis_server()), *line, "--port", str(port), "--dir", str(folder)], stdout=subprocess.DEVNULL
    )
    try:
        with redis.Redis(port=port, password=password, decode_responses=True) as client:
            until(lambda: _answers(client), "Redis does not start")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False

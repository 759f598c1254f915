"""What the documents say of clusters is what the files look for."""

import base64
import os
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from service.access.keys import KeyFile, KeyScope
from tests.deploy.conftest import Objects, container, of_kind, pods, snippets
from tests.support import kubectl
from tests.support.kubernetes_schemas import check
from tests.support.paths import ROOT


def test_the_documented_secrets_are_those_that_pods_look_for(everything: Objects, tmp_path: Path) -> None:
    (script,) = snippets("sh")
    lines = [line for line in script.splitlines() if "create namespace" not in line]
    lines = [line for line in lines if not line.startswith(("kubectl label", "kubectl config"))]
    prelude = [
        "set -eu",
        f'kubectl() {{ {shlex.quote(str(kubectl.kubectl()))} "$@" --dry-run=client --output yaml; echo ---; }}',
        'pirenderer() { "$PYTHON" -m service.cli "$@"; }',
    ]
    environment = os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "KUBECONFIG": os.devnull}
    environment |= {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
    done = subprocess.run(
        ["sh", "-c", "\n".join([*prelude, *lines])],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout[done.stdout.index("apiVersion:") :]
    secrets = {each["metadata"]["name"]: each for each in yaml.safe_load_all(said) if each}
    data = {
        name: {key: base64.b64decode(value) for key, value in each["data"].items()} for name, each in secrets.items()
    }
    wanted: dict[str, set[str]] = {}
    for template in pods(everything).values():
        for volume in template["spec"]["volumes"]:
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"].get("items", ())} or {"keys.json", "webhooks.key"}
                wanted.setdefault(volume["secret"]["secretName"], set()).update(keys)
        for source in container(template).get("envFrom", ()):
            if source.get("secretRef", {}).get("name") == "pirenderer-s3":
                wanted["pirenderer-s3"] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    (monitor,), (auth,) = (of_kind(everything, kind).values() for kind in ("ServiceMonitor", "TriggerAuthentication"))
    credentials = monitor["spec"]["endpoints"][0]["authorization"]["credentials"]
    for reference in (credentials, *auth["spec"]["secretTargetRef"]):
        wanted[reference["name"]] = {reference["key"]}
    assert {name: set(each) for name, each in data.items()} == wanted
    assert len(data["pirenderer-keys"]["webhooks.key"]) == 32
    (tmp_path / "keys.json").write_bytes(data["pirenderer-keys"]["keys.json"])
    record = KeyFile(tmp_path / "keys.json").find(data["pirenderer-metrics"]["key"].decode())
    assert record is not None
    assert record.scopes == {KeyScope.METRICS}
    password = data["pirenderer-redis"]["redis.conf"].decode().removeprefix("requirepass ")
    host = of_kind(everything, "Service")["pirenderer-redis"]["metadata"]["name"]
    assert data["pirenderer-redis"]["pirenderer_redis_url"].decode() == f"redis://:{password}@{host}:6379/0"


def test_the_documented_policy_is_valid() -> None:
    check(yaml.safe_load(snippets("yaml")[1]))


def test_the_documented_trigger_is_valid(everything: Objects) -> None:
    (scaled,) = of_kind(everything, "ScaledObject").values()
    triggers = yaml.safe_load(snippets("yaml")[2])["triggers"]
    check(scaled | {"spec": scaled["spec"] | {"triggers": triggers}})
    (trigger,) = triggers
    assert scaled["spec"]["triggers"][0]["metadata"]["valueLocation"] in trigger["metadata"]["query"]

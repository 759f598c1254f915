"""How many files a front-end may open, and what it says where they are few."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.running.connections import FILES_EACH, LEAST_FILES
from tests.support.paths import ROOT
from tests.support.processes import Service, most_files

CLI = [sys.executable, "-m", "service.cli"]


def limited_run(files: int, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command that may open so many files."""
    return subprocess.run(
        [*CLI, *arguments],
        preexec_fn=most_files(files),
        env={"PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_too_few_for_one_connection_end_it_in_one_line(processes: str, tmp_path: Path, redis_url: str) -> None:
    options = ["--port", "0", "--processes", processes, "--data-dir", str(tmp_path), "--redis-url", redis_url]
    done = limited_run(64, "api", *options, PIRENDERER_MAX_CONNECTIONS="500")
    assert done.stderr.splitlines()[0] == (
        f"error: this process may open 64 files (`ulimit -Hn`), and needs {LEAST_FILES} for one connection, "
        "2624 for PIRENDERER_MAX_CONNECTIONS=500"
    )
    assert done.returncode == 2


def test_too_few_for_all_that_are_set_are_told(tmp_path: Path) -> None:
    """As many as suffice for two connections are enough to serve by."""
    service = Service(tmp_path)
    try:
        service.start("redis")
        service.start("api", most_files(LEAST_FILES + FILES_EACH))
        assert service.client.get("/readyz").status_code == 200
    finally:
        service.stop()
    said = [json.loads(line) for line in service.log("api").splitlines() if "ulimit -Hn" in line]
    assert [(line["level"], line["connections"], line["max_connections"]) for line in said] == [("warning", 2, 1000)]
    assert (said[0]["open_files"], said[0]["needed"]) == (LEAST_FILES + FILES_EACH, 4124)


@pytest.mark.parametrize(("files", "verdict"), [(64, "fail"), (1024, "note"), (4124, "ok")])
def test_doctor_says_how_many_there_may_be(files: int, verdict: str, tmp_path: Path) -> None:
    done = limited_run(files, "doctor", "--json", PIRENDERER_DATA_DIR=str(tmp_path))
    (check,) = (each for each in json.loads(done.stdout) if each["name"] == "open files")
    assert check["verdict"] == verdict
    assert check["found"].startswith(f"{files} may be")
    assert "the API needs 4124" in check["found"]

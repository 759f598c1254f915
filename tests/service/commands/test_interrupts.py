"""Ctrl-C ends a command within seconds and leaves nothing running."""

import json
import os
import signal
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from service.commands.demo import POSE
from service.running.supervisor import STOP_S
from tests.service.conftest import Server, control, photo
from tests.support.lines import Line
from tests.support.processes import PATIENCE_S
from tests.support.terminal import CTRL_C, Terminal


@pytest.fixture
def weights_dir(weights_dir: Path) -> Path:
    """Cards with all controls of the demo's pose."""
    card = weights_dir / "space.json"
    facts = json.loads(card.read_text())
    facts["controls"] = [control(name, -45, 45) for name in POSE]
    card.write_text(json.dumps(facts))
    return weights_dir


def environment(weights_dir: Path) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if "REDIS_URL" not in name}
    return {**others, "PIRENDERER_WEIGHTS_DIR": str(weights_dir), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["starting Redis", "everything runs", "queued"])
def test_ctrl_c_ends_the_demo(moment: str, weights_dir: Path, tmp_path: Path) -> None:
    with Terminal("demo", "--out", str(tmp_path / "out"), environment=environment(weights_dir)) as terminal:
        terminal.wait_for(moment)
        everything = psutil.Process(terminal.process.pid).children(recursive=True)
        terminal.press(CTRL_C)
        assert terminal.process.wait(PATIENCE_S) == 130, terminal.text
        assert "Traceback" not in terminal.text
    _, alive = psutil.wait_procs(everything, timeout=PATIENCE_S)
    assert alive == []


@pytest.mark.slow
def test_a_second_signal_waits_for_nobody(weights_dir: Path, tmp_path: Path) -> None:
    with Terminal("demo", "--out", str(tmp_path / "out"), environment=environment(weights_dir)) as terminal:
        terminal.wait_for("queued")
        everything = psutil.Process(terminal.process.pid).children(recursive=True)
        for each in everything:
            each.suspend()  # none of them will stop by itself
        terminal.press(CTRL_C)
        time.sleep(0.5)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(2 * STOP_S) == 130, terminal.text
    _, alive = psutil.wait_procs(everything, timeout=PATIENCE_S)
    assert alive == []


def photos(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).write_bytes(photo())
    return [str(folder / name) for name in names]


def test_ctrl_c_cancels_the_jobs_that_are_followed(server: Server, weights_dir: Path, tmp_path: Path) -> None:
    arguments = ["submit", *photos(tmp_path, "me.jpg", "you.jpg"), "--control", "yaw=5", "--url", server.url]
    with Terminal(*arguments, environment=environment(weights_dir)) as terminal:
        terminal.wait_for("me.jpg queued")
        terminal.wait_for("you.jpg queued")
        terminal.press(CTRL_C)
        assert terminal.process.wait(PATIENCE_S) == 130, terminal.text
        records, _ = server.context.store.lookups.page("everyone")
        assert [record.status for record in records] == ["canceled", "canceled"]
        assert all(f"job {record.id} is canceled" in terminal.text for record in records)


def test_a_job_that_cannot_be_canceled_is_said_to_go_on(server: Server, weights_dir: Path, tmp_path: Path) -> None:
    with Line(server.url) as line:
        arguments = ["submit", *photos(tmp_path, "me.jpg"), "--control", "yaw=5", "--url", line.url]
        with Terminal(*arguments, environment=environment(weights_dir)) as terminal:
            terminal.wait_for("queued")
            line.hold()
            terminal.press(CTRL_C)
            assert terminal.process.wait(PATIENCE_S) == 130, terminal.text
            (record,), _ = server.context.store.lookups.page("everyone")
            assert record.status == "queued"
            assert f"job {record.id} may go on: the server does not answer" in terminal.text

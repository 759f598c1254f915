"""Ctrl-C ends a command within seconds and leaves nothing running."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import typer

from jobs.schemas import Job
from service.client import Client
from service.commands import submit
from service.commands.demo import POSE
from service.http.examples import EXAMPLES
from tests.service.conftest import Server, control, photo
from tests.support.terminal import CTRL_C, Terminal

SECONDS = 30.0  # of which a worker that is stopped may take ten; the machine may be busy


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
        assert terminal.process.wait(SECONDS) == 130, terminal.text
        assert "Traceback" not in terminal.text
    _, alive = psutil.wait_procs(everything, timeout=10)
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
        assert terminal.process.wait(SECONDS / 3) == 130, terminal.text
    _, alive = psutil.wait_procs(everything, timeout=10)
    assert alive == []


def test_ctrl_c_cancels_the_job_that_is_followed(server: Server, weights_dir: Path, tmp_path: Path) -> None:
    portrait = tmp_path / "me.jpg"
    portrait.write_bytes(photo())
    arguments = ["submit", str(portrait), "--control", "yaw=5", "--url", server.url]
    with Terminal(*arguments, environment=environment(weights_dir)) as terminal:
        terminal.wait_for("queued")
        terminal.press(CTRL_C)
        assert terminal.process.wait(SECONDS) == 130, terminal.text
        (record,), _ = server.context.store.lookups.page("everyone")
        assert record.status == "canceled"
        assert f"job {record.id} is canceled" in terminal.text


def test_a_job_that_cannot_be_canceled_is_said_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(submit, "follow_with_bars", interrupted)
    monkeypatch.setattr("service.client.CANCEL_S", 0.2)
    job = Job.model_validate(EXAMPLES["Job"][0])
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}") as client,
        pytest.raises(typer.Exit) as ended,
    ):
        submit._finish(client, job)
    assert ended.value.exit_code == 130
    assert f"job {job.id} may go on: the server does not answer" in capsys.readouterr().err

"""The command line: lazy, and what `submit` does."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.problems import Problem, ProblemType
from jobs.schemas import ImageSpec, Progress, VideoSpec
from service.cli import COMMANDS, app
from tests.service.conftest import Server, photo
from tests.service.routes.test_create import WAV
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S
from tests.support.streamed import Streamed

runner = CliRunner()


@pytest.fixture
def portrait_file(tmp_path: Path) -> Path:
    path = tmp_path / "me.jpg"
    path.write_bytes(photo())
    return path


def test_help_lists_every_command_and_imports_none_of_them() -> None:
    script = (
        "import sys; sys.argv = ['pirenderer', '--help']\n"
        "from service.cli import app\n"
        "app(standalone_mode=False)\n"
        "heavy = {'torch', 'celery', 'fastapi', 'worker', 'model', 'av', 'redis'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout


def test_the_front_end_imports_nothing_of_workers() -> None:
    script = (
        "import sys, service.app, service.commands.serve, service.commands.api, service.commands.submit\n"
        "import service.commands.demo, service.commands.doctor, service.commands.keys, service.commands.settings\n"
        "heavy = {'torch', 'worker', 'model', 'av', 'cv2', 'numpy', 'celery', 'kombu'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_installed_package_has_no_command_for_its_tests(tmp_path: Path) -> None:
    (tmp_path / "service").symlink_to(ROOT / "service")  # and no tests beside it
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import service; service.__path__[:] = [sys.argv[1] + '/service']\n"
        "from service.cli import COMMANDS; print(sorted(COMMANDS))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "'serve'" in done.stdout
    assert "'test'" not in done.stdout
    assert "test" in COMMANDS


def test_a_typo_is_answered_with_the_nearest_command() -> None:
    result = runner.invoke(app, ["subnit"])
    assert result.exit_code == 2
    assert "'submit'" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("command", ["extract", "render", "worker", "train renderer"])
def test_a_command_whose_libraries_are_missing_says_what_to_install(command: str, tmp_path: Path) -> None:
    arguments = {
        "extract": ["photo.jpg", "-o", "motion.json"],
        "render": ["photo.jpg", "--control", "yaw=5", "-o", "a.png"],
        "train renderer": ["--data", ".", "--out", "run"],
    }
    (tmp_path / "photo.jpg").write_bytes(photo())
    script = (
        "import sys; sys.modules['numpy'] = sys.modules['torch'] = None\n"
        "from service import cli; sys.argv[0] = 'pirenderer'; cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split(), *arguments.get(command, [])],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(r"error: `pirenderer \w+` needs the module (numpy|torch), which is not installed; ", line)
    assert "with the extras worker" in line


def work(server: Server, queue: str) -> threading.Thread:
    """Play a worker that does the next job of a queue."""

    def run() -> None:
        while not (jobs := server.queued_messages(queue)):
            pass
        if queue == "videos":  # whose segments are told of, too
            video = Streamed(server.context, jobs[0])
            video.begin()
            video.add(0)
            video.end(12)
            video.join(b"the result")
            return
        claim = server.claim(jobs[0])
        server.context.store.claims.progress(claim, Progress(stage="render", done=1, total=2))
        server.context.store.claims.give_back(claim)
        server.succeed(jobs[0], b"the result")

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_submit_follows_a_job_and_writes_its_result(server: Server, portrait_file: Path) -> None:
    worker = work(server, "images")
    arguments = ["submit", str(portrait_file), "--control", "yaw=20", "--control", "jaw_open=0.5", "--absolute"]
    result = runner.invoke(app, [*arguments, "--option", "format=jpeg", "--url", server.url, "--json"])
    worker.join()
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["status"] == "succeeded"
    assert Path(answer["output"]) == portrait_file.with_name("me-animated.jpg")
    assert Path(answer["output"]).read_bytes() == b"the result"
    spec = server.spec(answer["id"])
    assert isinstance(spec, ImageSpec)
    assert spec.motion is not None
    assert spec.motion.model_dump()["controls"] == {"yaw": 20.0, "jaw_open": 0.5}
    assert spec.motion.model_dump()["relative"] is False
    assert spec.options.format == "jpeg"


@pytest.mark.parametrize("name", ["mp4", "webm", "gif", "webp"])
def test_submit_with_speech_makes_a_video_job(server: Server, portrait_file: Path, tmp_path: Path, name: str) -> None:
    speech, output = tmp_path / "speech.wav", tmp_path / "made" / f"out.{name}"
    speech.write_bytes(WAV)
    worker = work(server, "videos")
    arguments = ["submit", str(portrait_file), "--audio", str(speech), "--option", "seed=7", "-o", str(output)]
    result = runner.invoke(app, [*arguments, "--url", server.url])
    worker.join()
    assert result.exit_code == 0, result.output
    assert output.read_bytes() == b"the result"
    (record,), _ = server.context.store.lookups.page("everyone")
    spec = server.spec(record.id)
    assert isinstance(spec, VideoSpec)
    assert (spec.options.seed, spec.options.format) == (7, name)


def test_the_suffix_of_what_is_written_says_the_format(server: Server, portrait_file: Path, tmp_path: Path) -> None:
    worker = work(server, "images")
    arguments = ["submit", str(portrait_file), "--control", "yaw=20", "-o", str(tmp_path / "y.JPG"), "--json"]
    result = runner.invoke(app, [*arguments, "--url", server.url])
    worker.join()
    assert result.exit_code == 0, result.output
    spec = server.spec(json.loads(result.stdout)["id"])
    assert isinstance(spec, ImageSpec)
    assert spec.options.format == "jpeg"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-o", "y.mp4"], "'y.mp4'; allowed is .png, .jpg, .jpeg, .webp"),
        (["-o", "y.webp", "--option", "format=png"], "format=png for 'y.webp'; allowed is webp"),
        (["-o", "FILE/y.png"], "cannot be written: its folder is a file"),
        (["-o", "FOLDER"], "is a folder; allowed is a file"),
        (["--option", "colour=red"], "colour: Extra inputs are not permitted, got 'red'"),
        (["--control", "yaw"], "'yaw' is not NAME=VALUE"),
        (["--control", "yaw=1", "--control", "yaw=2"], "yaw is given twice"),
    ],
)
def test_what_submit_cannot_do_is_said_before_anything_is_sent(
    portrait_file: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    names = {"FOLDER": str(tmp_path / "folder.png")}
    given = [names.get(each, each.replace("FILE", str(portrait_file))) for each in arguments]
    nobody = ["--url", "http://127.0.0.1:1"]
    result = runner.invoke(app, ["submit", str(portrait_file), "--control", "yaw=1", *given, *nobody])
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())


def test_submit_says_why_a_job_failed(server: Server, portrait_file: Path, tmp_path: Path) -> None:
    def fail() -> None:
        while not (jobs := server.queued_messages("images")):
            pass
        problem = Problem.of(ProblemType.NO_FACE, "no face in a picture of 64 x 48 pixels")
        server.context.store.claims.fail(server.claim(jobs[0]), problem)

    worker = threading.Thread(target=fail)
    worker.start()
    output = tmp_path / "out.png"
    arguments = ["submit", str(portrait_file), "--control", "yaw=20", "--url", server.url, "-o", str(output)]
    result = runner.invoke(app, arguments)
    worker.join()
    assert result.exit_code == 1
    assert "No face was found: no face in a picture of 64 x 48 pixels" in result.stderr
    assert not output.exists()


def test_submit_shows_what_the_service_refuses(server: Server, portrait_file: Path) -> None:
    result = runner.invoke(app, ["submit", str(portrait_file), "--control", "yaw=99", "--url", server.url])
    assert result.exit_code == 1
    assert "yaw is 99; allowed is -45 to 45 degrees" in result.stderr


def test_submit_without_a_server_says_how_to_start_one(portrait_file: Path) -> None:
    result = runner.invoke(app, ["submit", str(portrait_file), "--control", "yaw=1", "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "is `pirenderer serve` running?" in result.stderr


@pytest.mark.parametrize("url", ["", "here", "ftp://here", "http://", "http://[::1", "http://h:x", "http://h:99999"])
def test_submit_names_an_address_that_is_none(url: str, portrait_file: Path) -> None:
    result = runner.invoke(app, ["submit", str(portrait_file), "--control", "yaw=1", "--url", url])
    assert result.exit_code == 1
    assert result.stderr == f"error: {url!r} is no address of a server; allowed is http://HOST[:PORT], or https://\n"


@pytest.mark.parametrize("key", ["käse", "a\nb"])
def test_submit_tells_a_key_that_is_none_and_shows_none_of_it(key: str, portrait_file: Path) -> None:
    result = runner.invoke(app, ["submit", str(portrait_file), "--control", "yaw=1", "--api-key", key])
    assert result.exit_code == 1
    assert result.stderr == "error: the API key has characters that no key has; a key is printable ASCII\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["api", "serve", "doctor"])
def test_a_setting_that_is_not_allowed_is_named(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_QUEUE_LIMIT", "many")
    arguments = [sys.executable, "-m", "service.cli", command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 2
    assert "error: PIRENDERER_QUEUE_LIMIT: Input should be a valid integer" in done.stderr
    assert "got 'many'" in done.stderr


@pytest.mark.parametrize("command", ["api", "serve", "worker"])
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_data_folder_that_cannot_be_made_is_told_in_one_line(command: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = [sys.executable, "-m", "service.cli", command, "--data-dir", str(tmp_path / place)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path / place) in line
    assert line.endswith(("it is no folder", "Not a directory"))
    assert done.returncode == 2


def test_serve_needs_a_data_folder_that_it_can_write(tmp_path: Path) -> None:
    (tmp_path / "serve.lock").mkdir()  # root may write everywhere but there
    arguments = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.stderr == f"error: PIRENDERER_DATA_DIR: {tmp_path} cannot be written: Is a directory\n"
    assert done.returncode == 2


def test_api_needs_a_data_folder_that_it_can_write(tmp_path: Path) -> None:
    (tmp_path / "artifacts").touch(mode=0o600)  # root may write everywhere but there
    arguments = [sys.executable, "-m", "service.cli", "api", "--port", "0", "--data-dir", str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.stderr == f"error: {tmp_path / 'artifacts'} cannot be made: File exists\n"
    assert done.returncode == 2


def test_a_file_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = [sys.executable, "-m", "service.cli", "demo", "--out", str(tmp_path / "file" / "below")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.stderr == f"error: {tmp_path / 'file' / 'below'}: Not a directory\n"
    assert done.returncode == 1


def test_submit_needs_a_driver(portrait_file: Path) -> None:
    result = runner.invoke(app, ["submit", str(portrait_file)])
    assert result.exit_code == 2
    assert "at least one of" in result.output

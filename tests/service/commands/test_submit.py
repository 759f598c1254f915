"""`pirenderer submit` with several portraits, and what it sends besides."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.problems import Problem, ProblemType
from service.cli import app
from service.commands.submit import UNDER_WAY
from tests.service.conftest import Server, photo
from tests.support.processes import until
from tests.support.recorder import Answer, Recorder

runner = CliRunner()


def photos(folder: Path, *names: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(photo())
    return [str(folder / name) for name in names]


@contextmanager
def working(server: Server, count: int, *, failing: int = 0) -> Iterator[list[int]]:
    """Play a worker of so many images, the first of which fail; yields how many were under way at a time."""
    under_way: list[int] = []

    def run() -> None:
        for done in range(count):
            waited_for = max(done + 1, min(UNDER_WAY, count))
            until(
                lambda least=waited_for: len(server.queued_messages("images")) >= least,  # type: ignore[misc]
                lambda: f"{len(server.queued_messages('images'))} jobs have come",
            )
            messages = server.queued_messages("images")
            under_way.append(len(messages) - done)
            if done < failing:
                problem = Problem.of(ProblemType.NO_FACE, "no face in a picture of 64 x 48 pixels")
                server.context.store.claims.fail(server.claim(messages[done]), problem)
            else:
                server.succeed(messages[done], b"the result")

    thread = threading.Thread(target=run)
    thread.start()
    yield under_way
    thread.join()


def submitted(server: Server, *arguments: str) -> Any:
    return runner.invoke(app, ["submit", *arguments, "--control", "yaw=20", "--url", server.url])


def test_each_portrait_of_a_folder_has_a_job(server: Server, tmp_path: Path) -> None:
    photos(tmp_path / "faces", "b.png", "a.JPG", "c.jpeg", "d.heic", "e.webp")
    (tmp_path / "faces" / "notes.txt").touch()
    (tmp_path / "faces" / "below.png").mkdir()
    (one,) = photos(tmp_path / "more", "me.jpg")
    out = tmp_path / "out"
    with working(server, 6) as under_way:
        result = submitted(server, one, str(tmp_path / "faces"), "--output-dir", str(out))
    assert result.exit_code == 0, result.output
    names = {f"{name}-animated.png" for name in ("me", "a", "b", "c", "d", "e")}
    assert {path.name for path in out.iterdir()} == names
    assert {path.read_bytes() for path in out.iterdir()} == {b"the result"}
    assert set(result.stdout.split()) == {str(out / name) for name in names}
    assert result.stderr == "6 of 6 jobs succeeded\n"
    assert max(under_way) == UNDER_WAY


def test_one_that_fails_stops_no_other(server: Server, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    portraits = [*photos(tmp_path, "a.png", "b.png"), str(tmp_path / "broken.png")]
    with working(server, 2, failing=1):
        result = submitted(server, *portraits, "--json")
    assert result.exit_code == 1
    found = {Path(line["portrait"]).name: line for line in map(json.loads, result.stdout.splitlines())}
    assert found.keys() == {"a.png", "b.png", "broken.png"}
    assert found["broken.png"]["error"]["type"].endswith("unsupported-media")
    assert found["broken.png"]["output"] is None
    failed, made = sorted((found["a.png"], found["b.png"]), key=lambda line: line["status"])
    assert (failed["status"], failed["output"]) == ("failed", None)
    assert failed["error"]["type"].endswith("no-face")
    assert (made["status"], Path(made["output"]).read_bytes()) == ("succeeded", b"the result")
    assert "1 of 3 jobs succeeded" in result.stderr
    assert f"error: {failed['portrait']}: job {failed['id']} failed: No face was found: no face in" in result.stderr
    assert f"error: {portraits[2]}: This kind of file is not accepted: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["FOLDER"], "is a folder, which needs --output-dir"),
        (["EMPTY", "--output-dir", "OUT"], "has no image; allowed are .jpg, .png, .webp, .heic, .avif, .jpeg, .heif"),
        (["FILE", "FOLDER/you.jpg", "-o", "OUT/a.png"], "with 2 portraits; allowed is one portrait"),
        (["FILE", "-o", "OUT/a.png", "--output-dir", "OUT"], "with --output-dir; allowed is one portrait"),
        (["FOLDER", "FOLDER/me.png", "--output-dir", "OUT"], "would both be written to"),
        (["FILE", "--output-dir", "FILE"], "is a file"),
        (["FILE", "--metadata", "order"], "'order' is not NAME=VALUE"),
        (["FILE", "--voice", "en"], "'en', but there is no --text to speak"),
        (["FILE", "--text", "Hello", "--audio", "FILE"], "--audio and --text are given; allowed is one of them"),
        (["NONE"], "does not exist"),
        (["https://a.example/me.jpg"], "'https://a.example/me.jpg' is an address; allowed are files and folders"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(arguments: list[str], text: str, tmp_path: Path) -> None:
    photos(tmp_path / "faces", "me.jpg", "me.png", "you.jpg")
    (tmp_path / "empty").mkdir()
    names = {"FILE": "faces/me.jpg", "FOLDER": "faces", "EMPTY": "empty", "OUT": "out", "NONE": "none"}
    for name, path in names.items():
        arguments = [each.replace(name, str(tmp_path / path)) for each in arguments]
    drivers = [] if "--text" in arguments else ["--control", "yaw=1"]
    result = runner.invoke(app, ["submit", *arguments, *drivers, "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert text.replace(" ", "") in "".join(result.output.replace("│", "").split())


def test_what_drives_may_be_a_text(tmp_path: Path) -> None:
    result = runner.invoke(app, ["submit", *photos(tmp_path, "me.jpg"), "--url", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "at least one of --audio, --text, --driving, and" in " ".join(result.output.replace("│", "").split())


def test_a_text_goes_with_its_voice_and_metadata(tmp_path: Path) -> None:
    (portrait,) = photos(tmp_path, "me.jpg")
    refusal = {"title": "No", "status": 422, "detail": "not so"}
    with Recorder(Answer(refusal, 422)) as server:
        arguments = ["--text", "Hello", "--voice", "en", "--metadata", "order=1=2", "--option", "seed=7"]
        result = runner.invoke(app, ["submit", portrait, *arguments, "--url", server.url])
    assert result.stderr == "error: No: not so\n"
    (sent,) = server.sent
    assert sent.path == "/v1/videos"
    assert {name: data for name, (file, data) in sent.form.items() if file is None} == {
        "text": b"Hello", "voice": b"en", "metadata": b'{"order": "1=2"}', "options": b'{"seed": 7}',
    }  # fmt: skip

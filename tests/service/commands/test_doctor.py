"""What `pirenderer doctor` finds."""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import redis

from service.cli import app
from service.running.embedded import find_redis_server
from service.running.releases import Release
from tests.service.test_cli import runner
from tests.support.speech_server import speech_server


def test_doctor_says_that_the_data_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIRENDERER_DATA_DIR", str(tmp_path / "file" / "below"))
    checks = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
    (disk,) = (check for check in checks if check["name"] == "disk")
    assert (disk["verdict"], disk["found"]) == ("fail", f"{tmp_path / 'file'} is no folder")


def test_doctor_says_what_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(**variables: str) -> tuple[str, str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            checks = json.loads(runner.invoke(app, ["doctor", "--json"]).stdout)
        (check,) = (check for check in checks if check["name"] == "speech")
        return check["verdict"], check["found"]

    assert said(PATH="/nowhere") == ("note", "nothing speaks texts; sound can be sent")
    if shutil.which("espeak-ng") is not None:
        verdict, found = said()
        assert (verdict, re.sub(r"\d+", "N", found)) == ("ok", "espeak-ng speaks texts, N voices, en by default")
        assert said(PIRENDERER_TTS_VOICE="alloy") == ("fail", "espeak-ng has no voice 'alloy'")
    with speech_server() as server:
        named = {"PIRENDERER_TTS_URL": server.url, "PIRENDERER_TTS_MODEL": "kokoro"}
        speaks = ("ok", f"{server.url}/v1 speaks texts, model kokoro, voice alloy by default")
        assert said(**named) == said(**named, PIRENDERER_TTS_KEY="right") == speaks
        assert said(**named, PIRENDERER_TTS_KEY="wrong") == ("fail", f"{server.url}/v1 refuses the key")
        assert server.paths == 3 * ["/v1/models"]
    verdict, found = said(PIRENDERER_TTS_URL=server.url, PIRENDERER_TTS_KEY="secret")
    assert verdict == "fail"
    assert found.startswith(f"{server.url}/v1 does not answer: ")
    assert "secret" not in found


def test_doctor_finds_what_is_there_and_what_is_not(
    redis_url: str, weights_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", redis_url)
    monkeypatch.setenv("PIRENDERER_WEIGHTS_DIR", str(weights_dir))

    def verdicts() -> tuple[int, dict[str, str]]:
        result = runner.invoke(app, ["doctor", "--json"])
        return result.exit_code, {check["name"]: check["verdict"] for check in json.loads(result.stdout)}

    _, found = verdicts()
    assert found["Python"] == found["Redis"] == found["renderer weights"] == "ok"
    card = json.loads((weights_dir / "speech.json").read_text())
    (weights_dir / "speech.json").write_text(json.dumps({**card, "sha256": hashlib.sha256(b"others").hexdigest()}))
    code, found = verdicts()  # as between the two files of new weights
    assert (code, found["audio weights"]) == (1, "fail")
    (weights_dir / "speech.safetensors").write_bytes(b"others")
    assert verdicts()[1]["audio weights"] == "ok"
    (weights_dir / "light.safetensors").unlink()
    monkeypatch.setenv("PIRENDERER_REDIS_URL", "redis://127.0.0.1:1/0")
    code, found = verdicts()
    assert (code, found["Redis"], found["renderer weights"], found["audio weights"]) == (1, "fail", "fail", "ok")
    assert "pirenderer train renderer" in runner.invoke(app, ["doctor"]).stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("name", "version", "fixed"),
    [
        *(("Redis", "6.2.14", "6.2.24"), ("Redis", "6.2.24", None), ("Redis", "7.0.15", "8.8.2")),
        *(("Redis", "8.8.1", "8.8.2"), ("Redis", "8.10.0", None)),
        *(("Valkey", "8.1.3", "8.1.7"), ("Valkey", "9.1.2", None), ("Valkey", "10.0.0", None)),
    ],
)
def test_doctor_knows_which_releases_lack_fixes(name: str, version: str, fixed: str | None) -> None:
    assert Release(name, version).fixed == fixed


def test_doctor_asks_servers_and_binaries_for_their_release(redis_url: str, tmp_path: Path) -> None:
    binary = find_redis_server()
    assert binary is not None
    installed = Release.installed(binary)
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert installed == Release.running(client.info("server"))
    assert Release.installed(tmp_path / "none") is None
    assert Release.installed(Path(sys.executable)) is None

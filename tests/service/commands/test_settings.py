"""Every setting is told of, and what is none is noticed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.image_headers import MAX_SIDE
from jobs.settings import InvalidSettingsError, read_settings
from service import variables
from service.cli import app
from service.settings import Settings
from service.variables import settings_by_end, unknown_variables
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["settings", "--markdown"]).stdout
    assert printed == (ROOT / "docs/settings.md").read_text(), "pirenderer settings --markdown > docs/settings.md"


def test_every_setting_is_described_once() -> None:
    every = [each for variables in settings_by_end().values() for each in variables]
    assert all(each.meaning and each.allowed for each in every)
    assert len({each.name for each in every}) == len(every)
    listed = CliRunner().invoke(app, ["settings"]).stdout
    assert all(f"{each.name}={each.default}\n" in listed for each in every)
    shown = {each.name: (each.allowed, each.default) for each in every}
    assert shown["PIRENDERER_PORT"] == ("integer >= 0, <= 65535", "8000")
    assert shown["PIRENDERER_MAX_STORED_BYTES"] == ("integer > 0", "10737418240 (10 GiB)")
    assert shown["PIRENDERER_ENGINE"] == ("auto, torch, compiled, openvino", "auto")
    assert shown["PIRENDERER_API_KEYS"] == ("text; comma-separated", "")


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name.endswith(("_s", "_seconds"))])
def test_a_time_that_cannot_be_counted_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"^PIRENDERER_{name.upper()}: .* less than or equal to"):
        read_settings(Settings, **{name: "1" + 200 * "0"})


@pytest.mark.parametrize("host", ["", "portraits example", "http://a.example", "a..example", "a" * 64, "0.0.0.0:80"])
def test_an_address_to_listen_on_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(InvalidSettingsError, match="PIRENDERER_HOST: a host is a name or an address") as refused:
        read_settings(Settings, host=host)
    assert repr(host) in str(refused.value)


def test_more_pixels_than_an_image_can_have_are_refused() -> None:
    assert read_settings(Settings, max_pixels=MAX_SIDE**2).max_pixels == MAX_SIDE**2
    with pytest.raises(InvalidSettingsError, match=r"^PIRENDERER_MAX_PIXELS: .* less than or equal to 1073610756"):
        read_settings(Settings, max_pixels=MAX_SIDE**2 + 1)


def test_what_is_no_setting_is_told_with_the_nearest_that_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(variables, "SECRETS", tmp_path)
    for name in ("redis.conf", "pirenderer_api_keys"):
        (tmp_path / name).touch()
    assert unknown_variables() == {}
    (tmp_path / "pirenderer_api_kyes").touch()
    monkeypatch.setenv("pirenderer_queu_limit", "3")
    monkeypatch.setenv("PIRENDERER_ZZZZ", "3")
    for name in ("PIRENDERER_ENGINE", "PIRENDERER_API_KEY", "PIRENDERER_GOLDEN"):
        monkeypatch.setenv(name, "x")
    assert unknown_variables() == {
        "PIRENDERER_API_KYES": "PIRENDERER_API_KYES is no setting (did you mean PIRENDERER_API_KEYS?)",
        "PIRENDERER_QUEU_LIMIT": "PIRENDERER_QUEU_LIMIT is no setting (did you mean PIRENDERER_QUEUE_LIMIT?)",
        "PIRENDERER_ZZZZ": "PIRENDERER_ZZZZ is no setting",
    }


@pytest.mark.parametrize("command", ["api", "serve", "worker"])
def test_what_serves_warns_of_a_misspelt_setting(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_RETENTON_S", "60")
    monkeypatch.setenv("PIRENDERER_MAX_PIXELS", "0")  # which ends it
    arguments = [sys.executable, "-m", "service.cli", command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    warning, error = done.stderr.splitlines()
    assert "PIRENDERER_RETENTON_S is no setting (did you mean PIRENDERER_RETENTION_S?)" in json.loads(warning)["event"]
    assert error == "error: PIRENDERER_MAX_PIXELS: Input should be greater than 0, got '0'"
    assert done.returncode == 2


def test_doctor_names_a_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_RETENTON_S", "60")
    checks = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    assert [each["found"] for each in checks if each["name"] == "settings"] == [
        "PIRENDERER_RETENTON_S is no setting (did you mean PIRENDERER_RETENTION_S?)"
    ]

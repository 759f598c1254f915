"""Front-end and workers read the same environment."""

from pathlib import Path
from typing import get_args

import pytest

from jobs.settings import InvalidSettingsError, read_settings
from model.engines import ENGINE_NAMES
from service.settings import Settings
from worker.settings import WorkerSettings


def test_shared_settings_have_the_front_ends_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "PIRENDERER_REDIS_URL", "PIRENDERER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    front, worker = Settings(), WorkerSettings()
    shared = set(Settings.model_fields) & set(WorkerSettings.model_fields)
    assert {"redis_url", "data_dir", "max_pixels", "max_audio_seconds", "max_video_seconds"} <= shared
    for name in shared:
        assert getattr(front, name) == getattr(worker, name), name
    assert front.artifacts_dir == worker.artifacts_dir


def test_the_environment_reaches_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_MAX_AUDIO_SECONDS", "7")
    monkeypatch.setenv("PIRENDERER_MAX_PIXELS", "1000")
    monkeypatch.setenv("PIRENDERER_DATA_DIR", "/somewhere")
    settings = WorkerSettings()
    assert settings.audio_limits.seconds == 7
    assert settings.image_limits.pixels == 1000
    assert settings.artifacts_dir == Path("/somewhere/artifacts")


def test_the_engines_are_those_that_can_be_built() -> None:
    assert set(get_args(WorkerSettings.model_fields["engine"].annotation)) == set(ENGINE_NAMES)


@pytest.mark.parametrize(("name", "value"), [("BATCH_SIZE", "0"), ("ENGINE", "fast")])
def test_a_setting_that_is_not_allowed_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"PIRENDERER_{name}", value)
    with pytest.raises(InvalidSettingsError, match=f"^PIRENDERER_{name}: Input should be .*, got '{value}'$"):
        read_settings(WorkerSettings)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:12"])
def test_devices_are_those_that_are_told_of(device: str) -> None:
    assert read_settings(WorkerSettings, device=device).device == device


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:0 "])
def test_what_is_no_device_is_named(device: str) -> None:
    with pytest.raises(InvalidSettingsError, match=f"^PIRENDERER_DEVICE: a device is auto, .*, got '{device}'$"):
        read_settings(WorkerSettings, device=device)

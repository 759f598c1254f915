"""Settings whose values stand in files."""

import os
from pathlib import Path

import pytest

from jobs.credentials import ContentCredentials, InvalidCredentialsError
from jobs.regular_files import MOST_BYTES
from jobs.settings import FILE, InvalidSettingsError, SharedSettings, put_in_environment, read_settings
from service.access.keys import KeyFile, KeysAwayError
from service.secret import SecretAwayError, ServiceSecret
from service.settings import Settings
from service.variables import setting_variables, unknown_variables
from worker.settings import WorkerSettings

KEY, OTHER = "first-" * 6, "second-" * 5


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "value"


@pytest.fixture(params=["pipe", "device", "folder"])
def irregular(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What has a path, and may be waited on for ever."""
    path = Path("/dev/zero") if request.param == "device" else tmp_path / request.param
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "folder":
        path.mkdir()
    return path


def test_every_setting_may_stand_in_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = setting_variables()
    assert not {name + FILE for name in names} & names
    for name in names:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name + FILE, str(file.parent / name))
        (file.parent / name).write_text("no value of anything\n")
    assert unknown_variables() == {}
    for settings in (SharedSettings, Settings, WorkerSettings):
        for field in settings.model_fields:  # each is read: where one lacks its file there are no settings
            path = file.parent / f"PIRENDERER_{field.upper()}"
            text = path.read_text()
            path.unlink()
            with pytest.raises(InvalidSettingsError, match=f"^{path.name}_FILE: {path} cannot be read: No such file"):
                read_settings(settings)
            path.write_text(text)


@pytest.mark.parametrize(
    ("content", "value"),
    [(b"a", "a"), (b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a \n", " a "), ("ä€\n".encode(), "ä€")],
)
def test_the_last_line_end_of_a_file_does_not_count(
    content: bytes, value: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(content)
    monkeypatch.setenv("PIRENDERER_S3_BUCKET_FILE", str(file))
    assert read_settings(SharedSettings).s3_bucket == value


def test_keys_may_stand_in_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(f"{KEY}, {OTHER}\n")
    monkeypatch.setenv("PIRENDERER_API_KEYS_FILE", str(file))
    assert [key.get_secret_value() for key in read_settings(Settings).api_keys] == [KEY, OTHER]


def test_a_setting_is_said_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("9001\n")
    monkeypatch.setenv("pirenderer_port_file", str(file))  # variables are read in either case
    monkeypatch.setenv("PIRENDERER_PORT", "9002")
    with pytest.raises(InvalidSettingsError, match=r"^PIRENDERER_PORT and PIRENDERER_PORT_FILE are both set"):
        read_settings(Settings)
    monkeypatch.setenv("PIRENDERER_PORT", "")  # as good as unset
    assert read_settings(Settings).port == 9001
    assert read_settings(Settings, port=9003).port == 9003
    monkeypatch.setenv("PIRENDERER_PORT", "9002")
    monkeypatch.setenv("pirenderer_port_file", "")
    assert read_settings(Settings).port == 9002


def test_a_file_goes_before_what_is_less_of_ours(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("redis://file:6379/0\n")
    monkeypatch.setenv("PIRENDERER_REDIS_URL_FILE", str(file))
    monkeypatch.setenv("REDIS_URL", "redis://variable:6379/0")
    (tmp_path / "pirenderer_redis_url").write_text("redis://secret:6379/0")
    found = SharedSettings(_secrets_dir=tmp_path)
    assert found.redis_url == "redis://file:6379/0"
    assert "redis_url" in found.model_fields_set
    monkeypatch.setenv("PIRENDERER_REDIS_URL", "")  # so that it is unset again
    put_in_environment("PIRENDERER_REDIS_URL", "redis://command:6379/0")
    assert read_settings(SharedSettings).redis_url == "redis://command:6379/0"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfekey\n", "is not text in UTF-8"),
        (b"k" * (MOST_BYTES + 1), f"cannot be read: it has more than {MOST_BYTES} bytes"),
    ],
)
def test_a_file_without_a_value_is_named(content: bytes, why: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(content)
    monkeypatch.setenv("PIRENDERER_API_KEYS_FILE", str(file))
    with pytest.raises(InvalidSettingsError, match=f"^PIRENDERER_API_KEYS_FILE: {file} {why}"):
        read_settings(Settings)
    assert read_settings(WorkerSettings)  # which has no such setting, and may have no right to the file


def test_only_a_regular_file_has_a_setting(
    irregular: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(irregular)
    for path in (irregular, link):
        monkeypatch.setenv("PIRENDERER_API_KEYS_FILE", str(path))
        with pytest.raises(
            InvalidSettingsError, match=f"^PIRENDERER_API_KEYS_FILE: {path} cannot be read: it is no reg"
        ):
            read_settings(Settings)
    file.write_text(KEY)
    link.unlink()
    link.symlink_to(file)  # as secrets are mounted
    assert read_settings(Settings).api_keys


def test_a_pipe_of_a_shell_has_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    try:
        monkeypatch.setenv("PIRENDERER_API_KEYS_FILE", f"/dev/fd/{reading}")
        with pytest.raises(InvalidSettingsError, match=f"/dev/fd/{reading} cannot be read: it is no regular file"):
            read_settings(Settings)
    finally:
        os.close(reading)
        os.close(writing)


def test_only_regular_files_sign(irregular: Path, file: Path) -> None:
    file.touch()
    with pytest.raises(InvalidCredentialsError, match=f"^{irregular}: it is no regular file"):
        ContentCredentials.of(SharedSettings(c2pa_certificate=file, c2pa_key=irregular))


def test_only_regular_files_keep_what_is_secret(irregular: Path) -> None:
    with pytest.raises(SecretAwayError, match=f"^{irregular} cannot be read: it is no regular file"):
        ServiceSecret(irregular).check()
    with pytest.raises(KeysAwayError, match=f"^{irregular} cannot be read: it is no regular file"):
        KeyFile(irregular).records()


@pytest.mark.parametrize("name", ["API_KEYS", "PORT", "TTS_URL", "REDIS_URL", "MAX_PIXELS", "C2PA_ALGORITHM"])
def test_what_stands_in_a_file_is_not_shown(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("short secret\n")
    monkeypatch.setenv(f"PIRENDERER_{name}_FILE", str(file))
    with pytest.raises(InvalidSettingsError, match=f"^PIRENDERER_{name}_FILE: .*; it stands in {file}$") as caught:
        read_settings(Settings)
    assert "secret" not in str(caught.value)

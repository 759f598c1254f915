"""The operator's certificate: what is wrong with it is said at the start."""

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.credentials import ContentCredentials, InvalidCredentialsError
from jobs.settings import SharedSettings
from service.cli import app
from service.commands.serve import serving
from service.running.embedded import free_port
from service.settings import Settings
from tests.support.certificates import make_chain


def settings_of(folder: Path, **files: bytes) -> SharedSettings:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    paths: dict[str, Any] = {f"c2pa_{name}": folder / name for name in files}
    return SharedSettings(**paths)


def test_without_a_certificate_nothing_is_signed() -> None:
    assert ContentCredentials.of(SharedSettings()) is None


def test_who_signs_and_until_when(tmp_path: Path) -> None:
    chain = make_chain()
    credentials = ContentCredentials.of(settings_of(tmp_path, certificate=chain.chain, key=chain.key))
    assert credentials is not None
    assert credentials.subject == "CN=Test signer,O=Tests"
    assert credentials.valid_until > credentials.valid_until.now(credentials.valid_until.tzinfo)


GOOD, OTHER = make_chain(), make_chain()
UNUSABLE = {
    "no certificate": (b"", GOOD.key, "Unable to load PEM file"),
    "no key": (GOOD.chain, b"", "invalid ES256 private key"),
    "another's key": (GOOD.chain, OTHER.key, "the signature does not match the provided data or public key"),
    "its own authority": (GOOD.authority, GOOD.key, "self-signed"),
    "expired": (make_chain(days=0).chain, GOOD.key, "nothing can be signed with it as es256"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_sign_is_refused(tmp_path: Path, name: str) -> None:
    certificate, key, text = UNUSABLE[name]
    with pytest.raises(InvalidCredentialsError, match=text) as caught:
        ContentCredentials.of(settings_of(tmp_path, certificate=certificate, key=key))
    assert f"{tmp_path / 'certificate'} with the key {tmp_path / 'key'}: nothing can be signed" in str(caught.value)


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(InvalidCredentialsError, match="PIRENDERER_C2PA_KEY is not set; a certificate and its key"):
        ContentCredentials.of(settings_of(tmp_path, certificate=GOOD.chain))
    with pytest.raises(InvalidCredentialsError, match=r"key\.pem: No such file or directory"):
        ContentCredentials.of(SharedSettings(c2pa_certificate=tmp_path / "certificate", c2pa_key=tmp_path / "key.pem"))


def test_the_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(InvalidCredentialsError, match="pip install c2pa-python cryptography"):
        ContentCredentials.of(settings_of(tmp_path, certificate=GOOD.chain, key=GOOD.key))


def test_commands_say_what_is_wrong_before_they_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**GOOD.write(tmp_path), "PIRENDERER_DATA_DIR": str(tmp_path)}
    assert (
        "✓ C2PA: signs as CN=Test signer,O=Tests until" in CliRunner().invoke(app, ["doctor"], env=environment).output
    )
    (tmp_path / "key.pem").write_bytes(OTHER.key)
    done = CliRunner().invoke(app, ["doctor"], env=environment)
    assert done.exit_code == 1
    assert "✗ C2PA" in done.output
    done = CliRunner().invoke(app, ["worker"], env=environment)
    assert done.exit_code == 2
    assert "the signature does not match" in done.output
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(InvalidCredentialsError, match="the signature does not match"),
        serving(Settings(port=free_port()), workers=1),
    ):
        pytest.fail("it must not start")

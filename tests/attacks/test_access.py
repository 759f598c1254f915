"""Who has no key, or no business here: names made to resolve to us, keys that go missing, other users of the machine,
control characters in what strangers send."""

import asyncio
import contextlib
import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.problems import ProblemType
from jobs.settings import InvalidSettingsError, read_settings
from service.access import keys
from service.access.control import InsecureSettingsError, check_exposure
from service.access.keys import KeyFile, KeysAwayError
from service.app import create_app
from service.commands.doctor import Check, Verdict, examine
from service.running.embedded import free_port
from service.settings import Settings
from tests.service.conftest import FIRST, SECOND, running
from tests.service.routes.test_create import refused
from tests.support.processes import PATIENCE_S, PORTRAIT, ROOT, TURN, until

PLAIN_UMASK = 0o022


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# Names


@pytest.mark.parametrize("exposure", [{"allow_open": True}, {"publish": "127.0.0.1:8000"}])
def test_a_name_that_was_made_to_resolve_to_us_is_not_answered_wherever_we_listen(
    redis_url: str, tmp_path: Path, exposure: dict[str, Any]
) -> None:
    settings = Settings(
        host="0.0.0.0",
        redis_url=redis_url,
        data_dir=tmp_path,
        hosts="Portraits.example,10.1.2.3",  # type: ignore[arg-type] # as the environment gives it
        **exposure,
    )
    with running(settings) as server:
        for host in ("evil.example:8000", "evil.example", "", "localhost.evil.example", "localhost:evil.example"):
            for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/images"), ("DELETE", "/v1/jobs/1"), ("HEAD", "/")):
                headers = {"Host": host, "Origin": f"http://{host}"}
                assert server.client.request(method, path, headers=headers).status_code == 403, host
        for host in ("localhost:8000", "127.0.0.1", "[::1]:1", "portraits.example", "PORTRAITS.example:80", "10.1.2.3"):
            assert server.client.get("/v1/controls", headers={"Host": host}).status_code == 200, host
        problem = refused(server.client.get("/v1/jobs", headers={"Host": "evil.example"}), ProblemType.FORBIDDEN)
        assert problem["allowed"] == ["localhost", "127.0.0.1", "[::1]", "portraits.example", "10.1.2.3", "0.0.0.0"]
        assert "PIRENDERER_HOSTS" in problem["detail"]


def test_the_address_that_is_listened_on_is_a_name_of_ours(redis_url: str, tmp_path: Path) -> None:
    settings = Settings(host="192.168.1.5", redis_url=redis_url, data_dir=tmp_path, allow_open=True)
    transport = httpx.ASGITransport(create_app(settings))  # this machine has no such address to listen on

    async def ask(host: str) -> int:
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return (await client.get("/v1/controls")).status_code

    assert [asyncio.run(ask(host)) for host in ("192.168.1.5:8000", "192.168.1.6:8000")] == [200, 403]


@pytest.mark.parametrize("publish", ["8000", "0.0.0.0:8000", "[::]:8000", "192.168.1.5:80", "portraits.example:80", ""])
def test_what_is_published_to_strangers_does_not_start_without_a_key(tmp_path: Path, publish: str) -> None:
    settings = Settings(host="0.0.0.0", publish=publish, data_dir=tmp_path)
    with pytest.raises(InsecureSettingsError, match=r"without an API key would serve everyone") as caught:
        create_app(settings)
    assert "\n" not in str(caught.value)
    check_exposure(settings.model_copy(update={"publish": "[::1]:8000"}))
    KeyFile(settings.keys_path).make("team-a")
    check_exposure(settings)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        (
            "hosts",
            "http://a.example",
            "a host is a name or an address, without scheme and port",
        ),
        ("hosts", "a.example:80", "without scheme and port"),
        ("hosts", "*", "without scheme and port"),
        ("trusted_proxies", "proxy.example", "an address or a network"),
        ("cors_origins", '["https://studio.example"]', "an origin is * or a scheme, a host and a port"),
        ("cors_origins", "https://studio.example/", "without a path"),
        ("cors_origins", "studio.example", "an origin is * or a scheme"),
        ("root_path", "pir", "it is a path as /portraits, but not /v1, /web or /problems"),
        ("root_path", "/v1", "not /v1, /web or /problems"),
        ("root_path", "/problems", "not /v1, /web or /problems"),
        ("public_url", "api.example", "http:// or https:// and a host"),
        ("public_url", "ftp://api.example", "http:// or https:// and a host"),
        ("public_url", "https://user@api.example", "without user, query and fragment"),
        ("public_url", "https://api.example/?a=1", "without user, query and fragment"),
        ("public_url", "https://api.example/#a", "without user, query and fragment"),
        ("public_url", "https://api.example/a b", "http:// or https:// and a host"),
        ("api_keys", "hunter2", "a key has at least 32 characters, random ones, got 'one of 7 characters'"),
        ("api_keys", f"{FIRST},hunter2", "a key has at least 32 characters, random ones, got 'one of 7 characters'"),
    ],
)
def test_settings_that_guard_are_read_with_care(name: str, value: str, text: str) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        read_settings(Settings, **{name: value})
    assert f"PIRENDERER_{name.upper()}: " in str(caught.value)
    assert text in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert FIRST not in str(caught.value)


# Keys


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
@pytest.mark.parametrize("others", [{}, {"allow_open": True}])
def test_keys_that_vanish_open_nothing(redis_url: str, tmp_path: Path, host: str, others: dict[str, Any]) -> None:
    settings = Settings(
        host=host,
        redis_url=redis_url,
        data_dir=tmp_path,
        api_keys=FIRST,  # type: ignore[arg-type] # as the environment gives it
        **others,
    )
    file = KeyFile(settings.keys_path)
    key, _ = file.make("team-a")
    lock = settings.keys_path.with_suffix(".lock")
    with running(settings) as server:

        def asked(path: str = "/v1/jobs", **headers: str) -> int:
            return server.client.get(path, headers=headers).status_code

        away = tmp_path / "away"
        assert asked(**bearer(key)) == 200
        settings.keys_path.rename(away)
        for path in ("/v1/jobs", "/v1/webhooks/secret", "/metrics"):
            problem = refused(server.client.get(path), ProblemType.UNAVAILABLE)
            assert problem["detail"] == "the API keys cannot be checked just now"
        assert asked(**bearer(key)) == 503
        assert asked(**bearer(FIRST)) == 200  # is in no file
        lock.unlink()
        assert asked() == 503  # there were keys when it began
        away.rename(settings.keys_path)
        assert (asked(), asked(**bearer(key))) == (401, 200)
        for text in ("broken", "", '[{"id": 1}]'):
            settings.keys_path.write_text(text)
            assert (asked(), asked(**bearer(key))) == (503, 503)
        settings.keys_path.unlink()
        new, _ = file.make("team-b")
        assert (asked(), asked(**bearer(key)), asked(**bearer(new))) == (401, 401, 200)


def test_a_service_whose_keys_vanished_does_not_begin_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", allow_open=True)
    check_exposure(settings)
    file = KeyFile(settings.keys_path)
    file.make("team-a")
    settings.keys_path.unlink()
    with pytest.raises(InsecureSettingsError, match=r"keys\.json is gone, though keys were made"):
        check_exposure(settings)
    file.make("team-b")
    moved = settings.model_copy(update={"keys_dir": tmp_path / "keys"})
    with pytest.raises(InsecureSettingsError, match=r"keys were made in .*data: move keys\.json"):
        check_exposure(moved)
    KeyFile(moved.keys_path).make("team-c")
    check_exposure(moved)


def test_names_of_owners_tell_nothing_of_their_keys(redis_url: str, tmp_path: Path) -> None:
    names = []
    for folder in ("one", "one", "two"):
        settings = Settings(
            redis_url=redis_url,
            data_dir=tmp_path / folder,
            api_keys=SECOND,  # type: ignore[arg-type] # as the environment gives it
        )
        with running(settings) as server:
            request = httpx.Request("GET", server.url, headers=bearer(SECOND))
            names.append(server.context.access.caller(request).owner)  # type: ignore[arg-type] # it has headers
    assert names[0] == names[1] != names[2]  # another service gives the same key another name
    assert keys.digest_of(SECOND)[:16] not in names


def test_who_holds_the_lock_does_not_hold_up_a_revocation_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LOCK_S", 0.2)
    file = KeyFile(tmp_path / "keys.json")
    _, record = file.make("team-a")
    with (tmp_path / "keys.lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for change in (lambda: file.revoke(record.id), lambda: file.make("team-b")):
            with pytest.raises(KeysAwayError, match=r"another process has held .*keys\.lock for 0\.2 s; end it first"):
                change()
    assert file.revoke(record.id).revoked_at is not None


# Other users of the machine, and what strangers send to its terminal


@dataclass
class Watched:
    """An API as an earlier version left its folder, started by a user with the usual umask, on a terminal."""

    data: Path
    client: httpx.Client
    screen: list[bytes] = field(default_factory=list)

    def shown(self) -> str:
        return b"".join(self.screen).decode(errors="replace")

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "service.cli", *arguments, "--data-dir", str(self.data)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, umask=PLAIN_UMASK, check=True)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def api(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    data, port = tmp_path_factory.mktemp("folder") / "data", free_port()
    before = os.umask(PLAIN_UMASK)
    (data / "artifacts" / "0f").mkdir(parents=True)
    (data / "webhooks.key").write_bytes(bytes(32))
    os.umask(before)
    master, slave = os.openpty()
    environment = {**os.environ, "PIRENDERER_REDIS_URL": redis_url, "PIRENDERER_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "service.cli", "api", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=slave, stderr=slave, umask=PLAIN_UMASK)
    os.close(slave)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        watched = Watched(data, client)

        def read() -> None:
            with contextlib.suppress(OSError):  # the other end is closed
                while data := os.read(master, 65536):
                    watched.screen.append(data)

        reader = threading.Thread(target=read)
        reader.start()

        def answers() -> bool:
            try:
                return client.get("/healthz").is_success
            except httpx.TransportError:
                return False

        try:
            until(answers, watched.shown)
            yield watched
        finally:
            client.close()
            process.terminate()
            process.wait(PATIENCE_S)
            reader.join(10)
            os.close(master)


def test_what_strangers_send_neither_steers_the_terminal_nor_forges_lines(api: Watched) -> None:
    marks = "\x1b]0;pwned\x07\x1b[2J\x1b[31mFAKE\x9b\x7f\r\nforged\u202e\u2028"
    path = "".join(f"%{byte:02x}" for byte in marks.encode())
    assert api.client.get(f"/a{path}").status_code == 404
    until(lambda: "forged" in api.shown(), api.shown)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", api.shown())  # our own colours
    assert r"\x1b]0;pwned\x07\x1b[2J\x1b[31mFAKE\x9b\x7f\r\nforged\u202e\u2028" in shown
    assert not re.search(r"[^\r\n -\uffff]|[\x7f-\x9f\u202e\u2028]", shown)
    assert "\x1b[31mFAKE" not in api.shown()


def test_nothing_that_is_kept_is_open_to_other_users(api: Watched) -> None:
    assert not (api.data / "artifacts").stat().st_mode & 0o077  # as it was found
    files, form = {"portrait": PORTRAIT.read_bytes()}, {"motion": TURN}
    api.client.post("/v1/images", files=files, data=form).raise_for_status()
    key = api.run("keys", "make", "team-a")
    assert api.client.get("/v1/jobs").status_code == 401  # at once
    assert api.client.get("/v1/webhooks/secret", headers=bearer(key)).status_code == 200
    made = {path.relative_to(api.data) for path in api.data.rglob("*")}
    assert {Path("keys.json"), Path("keys.lock"), Path("webhooks.key")} <= made
    assert any(path.suffix == ".jpg" for path in made)
    found = {Path("artifacts/0f")}  # in a folder that is shut now
    assert [str(path) for path in made - found if (api.data / path).stat().st_mode & 0o077] == []


def test_doctor_tells_of_a_folder_that_others_may_look_into(tmp_path: Path) -> None:
    def found() -> Check:
        return next(check for check in examine(Settings(data_dir=tmp_path)) if check.name == "privacy")

    tmp_path.chmod(0o755)
    assert (found().verdict, found().mend) == (Verdict.NOTE, f"chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    assert found().verdict is Verdict.OK


@pytest.mark.slow
def test_what_commands_write_for_the_user_follows_the_users_own_umask() -> None:
    script = (
        "import os\n"
        "from typer.testing import CliRunner\n"
        "from service.cli import app\n"
        "for name in ('submit', 'demo', 'keys'):\n"
        "    assert CliRunner().invoke(app, [name, '--help']).exit_code == 0\n"
        "    found = os.umask(0)\n"
        "    os.umask(found)\n"
        "    print(name, oct(found))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, umask=PLAIN_UMASK, check=True)
    assert done.stdout.splitlines() == ["submit 0o22", "demo 0o22", "keys 0o77"]

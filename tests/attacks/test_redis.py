"""Redis: addresses that are none, one that does not answer, and one that is shared with another application."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from typer.testing import CliRunner

from jobs.messages import job_message, waiting_messages
from jobs.redis_url import kombu_url, without_password
from jobs.schemas import JobKind, JobStatus
from jobs.settings import InvalidSettingsError, read_settings
from jobs.store.jobs import JobStore
from service.background.upkeep import tidy
from service.cli import app
from service.running.embedded import EmbeddedRedis, running_redis
from service.settings import Settings
from tests.jobs.conftest import create, read
from tests.service.conftest import Start
from tests.support.processes import PATIENCE_S, PORTRAIT, ROOT, until

SECRET = "s3cr3t"
WRONG = {
    "localhost:6379": "it has no scheme",
    "http://x": "its scheme is none of redis, rediss, unix, sentinel, sentinels",
    f"redis://:{SECRET}#ss@h:1/0": "its host is no address or its port no number",
    f"redis://:{SECRET}": "its host is no address or its port no number",
    f"redis://user/{SECRET}@h:1/0": "its database is not a number",
    f"redis://:a#{SECRET}@h:1/0": "its host is no address or its port no number",
    "redis://h:port/0": "its host is no address or its port no number",
    "redis://h:65536/0": "its host is no address or its port no number",
    "redis://h:0/0": "its port is 0",
    "redis://[::1/0": "its host is no address",
    "redis:///0": "it has no host",
    "redis://h/zero": "its database is not a number",
    "redis://h/0?db=1": "after the '?' may stand nothing",
    "redis://h/0 ": "it has a space",
    "rediss://h/0?ssl_cert_reqs=maybe": "ssl_cert_reqs does not match none|optional|required",
    "unix://": "it has no absolute path",
    "unix://run/redis.sock": "it has no absolute path",
    f"unix:///{'a' * 107}": "its path has 108 bytes, and a socket's at most 107",
    f"unix:///run/redis.sock?password={SECRET}": "after the '?' may stand db",
    "redis+sentinel://h": "its scheme is none of redis, rediss, unix, sentinel, sentinels",
    "redis://h,i/0": "it has several hosts",
    "sentinel://h:26379": "it has no ?service=NAME",
    "sentinel://h,:1/0?service=ours": "it has no host",
    "sentinel://h,i:0/0?service=ours": "its port is 0",
    "sentinel://h,i:x/0?service=ours": "its host is no address or its port no number",
    "sentinel://h,i/ours": "its database is not a number",
    f"sentinel://:{SECRET}@h,i/0?service=": "service does not match",
    f"sentinel://h/0?service=ours&sentinel_password={SECRET}&password=x": "after the '?' may stand service",
    f"sentinel://h/0?service=ours&sentinel_password={SECRET}&ssl_ca_certs=x": "after the '?' may stand service",
}


@pytest.mark.parametrize(("url", "why"), WRONG.items())
def test_a_wrong_address_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str, why: str) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", url)
    with pytest.raises(InvalidSettingsError) as caught:
        read_settings(Settings)
    text = str(caught.value)
    assert text.startswith(f"PIRENDERER_REDIS_URL: {why}")
    assert "allowed is redis://" in text
    assert SECRET not in text
    assert "\n" not in text


def test_an_empty_address_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_REDIS_URL", "")
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert "redis_url" not in read_settings(Settings).model_fields_set
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    assert read_settings(Settings).redis_url == "redis://elsewhere:1/0"


@pytest.mark.parametrize(
    ("url", "kombu", "shown"),
    [
        ("redis://h", "redis://h", "redis://h"),
        ("redis://u:p%23;@h:1/3", "redis://u:p%23%3B@h:1/3", "redis://***@h:1/3"),
        ("rediss://h:1/0", "rediss://h:1/0?ssl_cert_reqs=required", "rediss://h:1/0"),
        ("rediss://h/?ssl_cert_reqs=none", "rediss://h/?ssl_cert_reqs=none", "rediss://h/?ssl_cert_reqs=none"),
        (
            "sentinel://u:p@h,[::1]:2/3?service=s&sentinel_password=q",
            "sentinel://u:p@h:26379/3;sentinel://u:p@[::1]:2/3",
            "sentinel://***@h,[::1]:2/3?service=s&sentinel_password=***",
        ),
        ("sentinels://h?service=s", "sentinel://h:26379/0", "sentinels://h?service=s"),
        ("unix:///a%20b/c?db=3", "redis+socket:///a%20b/c?virtual_host=3", "unix:///a%20b/c?db=3"),
        ("unix://:p@/a/c", "redis+socket://:p@/a/c?virtual_host=0", "unix://***@/a/c"),
    ],
)
def test_each_library_gets_the_address_in_its_words(url: str, kombu: str, shown: str) -> None:
    assert read_settings(Settings, redis_url=url).redis_url == url
    assert kombu_url(url) == kombu
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["api"],
        ["worker"],
        ["doctor"],
        ["demo", "--out", "{tmp_path}"],
        ["keys", "list"],
        ["render", str(PORTRAIT), "--control", "yaw=1", "-o", "{tmp_path}/out.png"],
        ["extract", str(PORTRAIT), "-o", "{tmp_path}/out.json"],
        ["benchmark"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize(
    ("name", "value"), [("REDIS_URL", f"redis://:{SECRET}#@h:1/0"), ("MAX_PIXELS", "many")], ids=["redis", "number"]
)
def test_every_command_ends_at_once_with_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], name: str, value: str
) -> None:
    monkeypatch.setenv(f"PIRENDERER_{name}", value)
    result = CliRunner().invoke(app, [each.format(tmp_path=tmp_path) for each in command])
    assert result.exit_code in (1, 2)
    said = result.output.removeprefix("starting Redis, a worker and the API…\n")
    assert said.startswith(f"error: PIRENDERER_{name}: ")
    assert said.count("\n") == 1
    assert SECRET not in said


@contextlib.contextmanager
def working(folder: Path, url: str, weights_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A worker and its log."""
    environment = {
        **os.environ,
        "PIRENDERER_REDIS_URL": url,
        "PIRENDERER_DATA_DIR": str(folder),
        "PIRENDERER_WEIGHTS_DIR": str(weights_dir),
    }
    log = folder / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "worker"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield worker, log
    finally:
        worker.terminate()
        worker.wait(PATIENCE_S)


@pytest.mark.slow
def test_a_worker_waits_for_redis_and_leaves_another_applications_messages_alone(
    tmp_path: Path, weights_dir: Path
) -> None:
    """The other's queue is named as one of ours, in the database that both use."""
    url = EmbeddedRedis(tmp_path / "redis").url
    with working(tmp_path, url.replace("unix://", f"unix://default:{SECRET}@"), weights_dir) as (worker, log):
        until(lambda: "Trying again" in log.read_text(), log.read_text)
        assert worker.poll() is None
        assert "Traceback" not in log.read_text()
        with running_redis(tmp_path / "redis"), redis.Redis.from_url(url, decode_responses=True) as client:
            other = Celery("other", broker=kombu_url(url), set_as_current=False)
            other.send_task("other.task", queue="images", args=["theirs"])
            other.close()
            theirs = set(client.scan_iter())
            message = client.lrange("images", 0, -1)
            store = JobStore.connect(url)
            job_id = create(store)
            store.send(job_message(job_id, JobKind.IMAGE))
            until(lambda: read(store, job_id).status is JobStatus.FAILED, log.read_text)  # it has no models
            assert client.lrange("images", 0, -1) == message
            assert {key for key in client.scan_iter() if not key.startswith("pirenderer:")} == theirs
            store.close()
    assert SECRET not in log.read_text()


def test_jobs_whose_messages_lie_in_queues_of_other_names_get_new_ones(start: Start) -> None:
    """As after an update from a version whose queues had no prefix."""
    server = start(housekeeping_s=3600)
    context = server.context
    job_id = create(context.store)
    context.redis.lpush("images", "a message of the version before")
    tidy(context)
    assert waiting_messages(context.redis, JobKind.IMAGE) == 0  # it might be on its way
    context.redis.hset(f"pirenderer:job:{job_id}", "queued_at", time.time() - 60)
    tidy(context)
    assert server.queued_messages("images") == [job_id]
    assert context.redis.llen("images") == 1

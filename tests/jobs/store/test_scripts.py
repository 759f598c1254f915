"""The scripts in Lua: that each can be run, what a linter says of them, and what they are given."""

import contextlib
import importlib
import pkgutil
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from redis import Redis

import jobs.store
import service.stores
from jobs.schemas import JobKind, Progress
from jobs.store import names
from jobs.store.creation import Retention, Terms
from jobs.store.jobs import JobStore
from jobs.store.names import Key, segments_key
from jobs.store.records import Found
from jobs.store.scripts import PRELUDE, Script, Scripts
from jobs.store.webhooks import Message
from jobs.webhooks import Webhook, WebhookEvent
from tests.jobs.conftest import RESULT, claim, create
from tests.jobs.store.test_segments import begun, take, video
from tests.jobs.store.test_segments import done as finished
from tests.jobs.store.test_webhooks import ATTEMPT

ROW = re.compile(r"^    ([a-z_, :A-Z]+?)  +[A-Za-z]", re.MULTILINE)
WARNING = re.compile(r".*/(?P<file>[\w.]+)\.lua:(?P<line>\d+):\d+: \((?P<code>\w\d+)\) (?P<text>.*)")


def scripts() -> dict[str, Script]:
    """All scripts, by module and name."""
    return {
        f"{module.__name__}.{name}": value
        for package in (jobs.store, service.stores)
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        for module in [importlib.import_module(found.name)]
        for name, value in vars(module).items()
        if isinstance(value, Script)
    }


def test_redis_compiles_every_script(store: JobStore, redis_url: str) -> None:
    assert len({script.text for script in scripts().values()}) > 15
    with Redis.from_url(redis_url) as client:
        for script in scripts().values():
            client.script_load(script.text)


@pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not installed: apt-get install lua-check")
def test_no_script_names_what_is_not_there_or_is_not_used(tmp_path: Path) -> None:
    """Of the prelude, each name is used by some script; no script uses them all."""
    for name, script in scripts().items():
        (tmp_path / f"{name}.lua").write_text(script.text)
    lint = ["luacheck", "--std", "lua51", "--read-globals", "redis", "cjson", "ARGV", "--formatter", "plain"]
    said = subprocess.run([*lint, "--codes", tmp_path], capture_output=True, text=True, check=False)
    warnings = [WARNING.fullmatch(line) for line in said.stdout.splitlines()]
    assert None not in warnings, said.stdout + said.stderr
    unused: dict[str, set[str]] = {}
    for warning in filter(None, warnings):
        assert warning["code"] == "W211", warning[0]
        assert int(warning["line"]) <= PRELUDE.count("\n"), warning[0]
        unused.setdefault(warning["text"], set()).add(warning["file"])
    assert unused
    assert not [text for text, files in unused.items() if len(files) == len(scripts())]


def test_arguments_arrive_as_they_were_given(store: JobStore, redis_url: str) -> None:
    given = {
        "text": 'an "owner"\\ with\n\x00 and ü, 顔 and 🙂',
        "digits": repr(0.1 + 0.2),
        "whole": 2**53,
        "empty": "",
        "none": None,
        "nothing": [],
        "table": {"a b": "c"},
    }
    answer = Script("""
return {a.text, a.digits, string.format('%.0f', a.whole), a.empty, tostring(a.none), #a.nothing, a.table['a b']}
""")
    runs = Scripts.connect(redis_url)
    expected = [given["text"], "0.30000000000000004", str(2**53), "", "nil", 0, "c"]
    assert runs.run(answer, **given) == expected  # type: ignore[arg-type]
    runs.redis.close()


def test_a_redis_that_forgets_scripts_all_the_time_runs_them_all_the_same(redis_url: str) -> None:
    runs = Scripts.connect(redis_url)
    forgetting = Redis.from_url(redis_url)
    evalsha = runs.redis.evalsha
    with contextlib.closing(runs.redis), contextlib.closing(forgetting), pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.redis, "evalsha", lambda *given: (forgetting.script_flush(), evalsha(*given))[1])
        assert [runs.run(Script("return a.number"), number=number) for number in range(3)] == [0, 1, 2]


def test_what_is_stored_has_the_digits_that_were_given(store: JobStore) -> None:
    job = create(store, retention=Retention(86400.0, canceled_s=600))
    held = claim(store, job)
    store.claims.timings(held, {"render": 0.3})
    store.workers.beat("host:1", {"started_at": 1701315123.123, "gpu_bytes": 2**40, "state": "ready"})
    fields = ["retention", "canceled_retention", "timing:render"]
    assert store._redis.hmget(Key.JOB + job, fields) == ["86400.0", "600", "0.3"]
    worker = {"started_at": "1701315123.123", "gpu_bytes": str(2**40), "state": "ready"}
    assert store._redis.hgetall(Key.WORKER + "host:1") == worker


def test_the_list_of_a_jobs_fields_is_whole(store: JobStore) -> None:
    known, of_segments = [
        {
            field
            for line in re.findall(r"^    ([a-z_, :A-Z]+?)  +[A-Za-z]", table, re.MULTILINE)
            for field in line.split(", ")
        }
        for table in (names.__doc__ or "").split("of its segments has")
    ]
    known.remove("field")
    webhook = Webhook(url="https://example.org/", events=tuple(WebhookEvent))
    terms = Terms(webhook, 60.0, {"order": "17"}, base_url="https://a.example", request_id="r", traceparent="00-1-2-01")
    done = create(store, terms=terms)
    held = claim(store, done)
    store.claims.progress(held, Progress(stage="render"))
    store.claims.timings(held, {"render": 1})
    store.request_cancel(done)
    found = set(map(str, store._redis.hkeys(Key.JOB + done)))
    store.claims.succeed(held, RESULT, key="k")
    for message in (Message(done, "me", start=True), Message(done, "me")):
        store.webhooks.tried(message, ATTEMPT, url="https://example.org/")
    late = create(store, terms=Terms(deadline_s=0.0))
    time.sleep(0.01)
    assert store.upkeep.fail_late() == [late]
    store.workers.beat("planner:1", {"weights": "1"})
    store.workers.beat("host:1", {"weights": "1"})
    cut, joined = video(store, terms=Terms(traceparent="00-1-2-01")), video(store)
    parts: set[str] = set()
    for each in (cut, joined):
        store.segments.planned(begun(store, each, 1, most_workers=2), frames=12, found=Found())
        segment = take(store, each)
        store.claims.progress(segment, Progress(stage="render", done=3))
        parts |= set(map(str, store._redis.hkeys(segments_key(each))))
        finished(store, segment)
    take(store, joined)
    parts |= set(map(str, store._redis.hkeys(segments_key(cut))))
    assert {re.sub(r":(\d+|join)$", ":N", field) for field in parts} == {
        field.replace(":PART", ":N") for field in of_segments
    }
    found |= {str(field) for job in (done, late, cut) for field in store._redis.hkeys(Key.JOB + job)}
    plain = {re.sub(r"^timing:.*", "timing:STAGE", re.sub(r"^kept:.*", "kept:WHAT", field)) for field in found}
    assert {"webhook_status:started", "webhook_attempts:started"} <= plain
    plain = {field.removesuffix(":started") for field in plain}
    assert plain == known
    assert store.turns.queue_lengths()[JobKind.IMAGE] == 0

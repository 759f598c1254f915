"""API keys: made, listed and revoked by the command line; what they allow, how often, and whose jobs they show."""

import json
import re
import stat
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from jobs.problems import ProblemType
from jobs.settings import InvalidSettingsError, read_settings
from service.access.control import InsecureSettingsError, check_exposure
from service.access.keys import KeyFile, KeyScope, UnknownKeyError
from service.cli import app
from service.settings import Settings
from tests.service.conftest import Server, Start
from tests.service.routes.test_create import YAW, refused

runner = CliRunner()


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    """That of the servers `start` makes."""
    return KeyFile(tmp_path / "data" / "keys.json")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def post(server: Server, portrait: bytes, key: str) -> httpx.Response:
    files, data = {"portrait": portrait}, {"motion": YAW}
    return server.client.post("/v1/images", files=files, data=data, headers=bearer(key))


def test_a_key_is_shown_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    made = runner.invoke(app, ["keys", "make", "team-a", "--rate", "5/second", "--data-dir", str(folder), "--json"])
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout)
    text = (folder / "keys.json").read_text()
    assert answer["key"] not in text
    assert answer["key"].removeprefix("pir_") not in text
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600
    plain = runner.invoke(app, ["keys", "make", "team-b", "--scope", "read", "--data-dir", str(folder)])
    key = plain.stdout.strip()
    record = KeyFile(folder / "keys.json").find(key)
    assert record is not None
    assert (record.owner, record.scopes) == ("team-b", {KeyScope.READ})
    listed = json.loads(runner.invoke(app, ["keys", "list", "--data-dir", str(folder), "--json"]).stdout)
    assert [(each["owner"], each.get("rate")) for each in listed] == [("team-a", "5/second"), ("team-b", None)]
    assert all("digest" not in each for each in listed)
    assert "team-b" in runner.invoke(app, ["keys", "list", "--data-dir", str(folder)]).stdout
    assert runner.invoke(app, ["keys", "revoke", record.id, "--data-dir", str(folder)]).exit_code == 0
    assert KeyFile(folder / "keys.json").find(key) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["keys", "make", "Team A"], "owner"),
        (["keys", "make", "a", "--rate", "often"], "a rate is N/second"),
        (["keys", "revoke", "nonesuch"], "there is no key 'nonesuch'"),
        (["keys", "limit", "nobody", "--quota", "1/day"], "'nobody' has no key"),
        (["keys", "limit", "a", "--quota", "often"], "a rate is N/second"),
        (["keys", "make", "a", "--scope", "all"], "'read', 'write', 'metrics'"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, arguments: list[str], text: str) -> None:
    result = runner.invoke(app, [*arguments, "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert text in " ".join(result.output.replace("│", " ").split())
    assert not (tmp_path / "keys.json").exists()


def test_a_broken_file_of_keys_is_told_and_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("[{]")
    for arguments in (["list"], ["make", "team-a"], ["revoke", "nonesuch"]):
        result = runner.invoke(app, ["keys", *arguments, "--data-dir", str(tmp_path)])
        assert result.exit_code == 1
        assert "is not a file of keys" in result.stderr
    assert (tmp_path / "keys.json").read_text() == "[{]"


def test_a_key_counts_from_the_moment_it_is_made_to_that_of_its_end(
    start: Start, portrait: bytes, key_file: KeyFile
) -> None:
    server = start()
    assert server.client.get("/v1/jobs").status_code == 200  # open, on loopback
    key, record = key_file.make("team-a")
    refused(server.client.get("/v1/jobs"), ProblemType.UNAUTHORIZED)
    assert post(server, portrait, key).status_code == 202
    key_file.revoke(record.id)
    refused(post(server, portrait, key), ProblemType.UNAUTHORIZED)
    refused(server.client.get("/v1/jobs"), ProblemType.UNAUTHORIZED)  # no way back into the open mode
    with pytest.raises(UnknownKeyError, match=f"there are {record.id}"):
        key_file.revoke("nonesuch")


def test_jobs_are_their_owners_alone_whichever_key_they_use(start: Start, portrait: bytes, key_file: KeyFile) -> None:
    server = start()
    (first, _), (second, _), (stranger, _) = (key_file.make(owner) for owner in ("team-a", "team-a", "team-b"))
    url = post(server, portrait, first).json()["urls"]["self"]
    assert server.client.get(url, headers=bearer(second)).status_code == 200
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
        refused(server.client.request(method, url + path, headers=bearer(stranger)), ProblemType.NOT_FOUND)
    assert server.client.get("/v1/jobs", headers=bearer(stranger)).json()["jobs"] == []
    assert len(server.client.get("/v1/jobs", headers=bearer(second)).json()["jobs"]) == 1


def test_a_key_does_what_its_scopes_allow(start: Start, portrait: bytes, key_file: KeyFile) -> None:
    server = start()
    keys = {scope: key_file.make("team-a", scopes=frozenset({scope}))[0] for scope in KeyScope}
    url = post(server, portrait, keys[KeyScope.WRITE]).json()["urls"]["self"]
    calls = [
        (KeyScope.READ, "GET", "/v1/jobs"),
        (KeyScope.READ, "GET", "/v1/controls"),
        (KeyScope.READ, "GET", url),
        (KeyScope.METRICS, "GET", "/metrics"),
        (KeyScope.WRITE, "POST", f"{url}/cancel"),
        (KeyScope.WRITE, "DELETE", url),
    ]
    for needed, method, path in calls:
        for scope, key in keys.items():
            if scope is not needed:
                problem = refused(server.client.request(method, path, headers=bearer(key)), ProblemType.FORBIDDEN)
                assert (problem["got"], problem["allowed"]) == ([scope.value], [needed.value])
        assert server.client.request(method, path, headers=bearer(keys[needed])).is_success
    refused(post(server, portrait, keys[KeyScope.READ]), ProblemType.FORBIDDEN)


def test_a_key_has_a_rate(start: Start, key_file: KeyFile) -> None:
    server = start()
    key, other = key_file.make("team-a", rate="3/second")[0], key_file.make("team-a")[0]
    answers = [server.client.get("/v1/jobs", headers=bearer(key)) for _ in range(20)]
    limited = next(answer for answer in answers if answer.status_code == 429)
    problem = refused(limited, ProblemType.TOO_MANY_REQUESTS)
    assert problem["allowed"] == "3/second for requests"
    assert answers.index(limited) >= 3
    assert server.client.get("/v1/jobs", headers=bearer(other)).status_code == 200
    assert server.client.get("/healthz").status_code == 200
    time.sleep(2 * int(limited.headers["retry-after"]))  # the window slides
    assert server.client.get("/v1/jobs", headers=bearer(key)).status_code == 200


def test_a_key_has_a_quota_of_jobs_over_all_front_ends(start: Start, portrait: bytes, key_file: KeyFile) -> None:
    servers = [start(quota="3/day"), start(quota="3/day")]
    key, more = key_file.make("team-a")[0], key_file.make("team-a", quota="4/day")[0]
    for server in (servers[0], servers[1], servers[0]):
        assert post(server, portrait, key).status_code == 202
    for server in servers:
        limited = post(server, portrait, key)
        assert "3/day for jobs" in refused(limited, ProblemType.TOO_MANY_REQUESTS)["detail"]
        assert 0 < int(limited.headers["retry-after"]) <= 2 * 86_400
    assert post(server, portrait, more).status_code == 202
    bad = server.client.post("/v1/images", data={"motion": YAW}, files={"portrait": b"x"}, headers=bearer(more))
    refused(bad, ProblemType.UNSUPPORTED_MEDIA)  # what was refused is not counted
    for _ in range(3):
        assert post(server, portrait, more).status_code == 202


def test_a_made_key_lets_others_than_this_machine_in(tmp_path: Path) -> None:
    settings = Settings(host="0.0.0.0", data_dir=tmp_path)
    with pytest.raises(InsecureSettingsError, match=f"keys make OWNER --data-dir {tmp_path}"):
        check_exposure(settings)
    KeyFile(settings.keys_path).make("team-a")
    check_exposure(settings)
    settings.keys_path.write_text("[{]")
    with pytest.raises(InsecureSettingsError, match="is not a file of keys"):
        check_exposure(settings)


def test_a_bad_rate_in_the_settings_is_named() -> None:
    with pytest.raises(InvalidSettingsError, match=r"PIRENDERER_RATE: .*N/second.*, got 'often'"):
        read_settings(Settings, rate="often")


def test_every_answer_tells_how_the_key_stands(start: Start, portrait: bytes, key_file: KeyFile) -> None:
    server = start(quota="5/day")
    key = key_file.make("team-a", rate="4/hour")[0]

    def told(answer: httpx.Response) -> tuple[int, str, str]:
        limit = re.sub(r"t=\d+", "t=N", answer.headers["ratelimit"])
        return answer.status_code, answer.headers["ratelimit-policy"], limit

    requests = '"requests";q=4;w=3600'
    assert told(server.client.get("/v1/jobs", headers=bearer(key))) == (200, requests, '"requests";r=3;t=N')
    assert told(server.client.head("/v1/jobs/no", headers=bearer(key))) == (404, requests, '"requests";r=2;t=N')
    both = f'{requests}, "jobs";q=5;w=86400'
    assert told(post(server, portrait, key)) == (202, both, '"requests";r=1;t=N, "jobs";r=4;t=N')
    bad = server.client.post("/v1/images", data={"motion": YAW}, files={"portrait": b"x"}, headers=bearer(key))
    assert told(bad) == (415, both, '"requests";r=0;t=N, "jobs";r=4;t=N')
    limited = server.client.get("/v1/jobs", headers=bearer(key))
    assert told(limited) == (429, requests, '"requests";r=0;t=N')
    assert limited.headers["ratelimit"].endswith(f";t={limited.headers['retry-after']}")
    for path in ("/healthz", "/", "/v1/jobs"):  # without a key nothing is counted
        assert "ratelimit" not in server.client.get(path).headers


def test_what_can_never_fit_is_not_told_to_wait(
    start: Start, portrait: bytes, key_file: KeyFile, tmp_path: Path
) -> None:
    server = start(quota="2/day")
    key = key_file.make("team-a")[0]
    none = key_file.make("team-b", quota="0/day")[0]

    def pictures(number: int) -> httpx.Response:
        motions = json.dumps([json.loads(YAW)] * number)
        return server.client.post(
            "/v1/images", files={"portrait": portrait}, data={"motions": motions}, headers=bearer(key)
        )

    for whose in ("this key is", "all keys of this owner are"):
        answer = pictures(3)
        problem = refused(answer, ProblemType.FORBIDDEN)
        assert problem["detail"] == f"3 at once is more than there may ever be: {whose} allowed 2/day for jobs"
        assert (problem["got"], problem["allowed"]) == (3, "2/day for jobs")
        assert "retry-after" not in answer.headers
        # the owner's bound counts, too, where the key's would have room later
        limit(tmp_path / "data", "team-a", "--quota", "2/day")
        key = key_file.make("team-a", quota="3/day")[0]
    assert pictures(2).status_code == 202
    assert pictures(2).headers["retry-after"]
    refused(post(server, portrait, none), ProblemType.FORBIDDEN)


def limit(folder: Path, *arguments: str) -> str:
    """Run `keys limit`; what it says."""
    result = runner.invoke(app, ["keys", "limit", *arguments, "--data-dir", str(folder)])
    assert result.exit_code == 0, result.output
    return result.stderr.strip()


def test_all_keys_of_an_owner_share_a_quota(start: Start, portrait: bytes, key_file: KeyFile, tmp_path: Path) -> None:
    servers = [start(quota="1/day"), start(quota="1/day")]
    (first, record), (second, _), (stranger, _) = (key_file.make(owner) for owner in ("team-a", "team-a", "team-b"))
    told = limit(tmp_path / "data", "team-a", "--quota", "3/day", "--rate", "500/minute")
    assert told == "all keys of team-a share 500/minute for requests and 3/day for jobs"
    for server, key in ((servers[0], first), (servers[1], second), (servers[0], first)):
        assert post(server, portrait, key).status_code == 202
    for server, key in ((servers[0], first), (servers[1], second)):
        limited = post(server, portrait, key)
        problem = refused(limited, ProblemType.TOO_MANY_REQUESTS)
        assert "all keys of this owner are allowed 3/day for jobs" in problem["detail"]
        assert '"jobs";q=3;w=86400' in limited.headers["ratelimit-policy"]
        assert '"jobs";r=0;' in limited.headers["ratelimit"]
    assert post(servers[0], portrait, stranger).status_code == 202
    refused(post(servers[0], portrait, stranger), ProblemType.TOO_MANY_REQUESTS)  # a key's own, as ever
    key_file.revoke(record.id)
    listed = json.loads(runner.invoke(app, ["keys", "list", "--data-dir", str(tmp_path / "data"), "--json"]).stdout)
    assert [each.get("owner_quota") for each in listed] == ["3/day", "3/day", None]
    assert limit(tmp_path / "data", "team-a") == "all keys of team-a share no bounds"
    assert isinstance(json.loads((tmp_path / "data/keys.json").read_text()), list)  # as versions before read it
    assert post(servers[0], portrait, second).status_code == 202


def test_bounds_of_a_key_and_of_its_owner_hold_both(
    start: Start, portrait: bytes, key_file: KeyFile, tmp_path: Path
) -> None:
    server = start()
    small, large = key_file.make("team-a", quota="1/day")[0], key_file.make("team-a", quota="100/day")[0]
    limit(tmp_path / "data", "team-a", "--quota", "3/day")
    assert post(server, portrait, small).headers["ratelimit"].rpartition(", ")[2].startswith('"jobs";r=0;')
    for _ in range(3):
        detail = refused(post(server, portrait, small), ProblemType.TOO_MANY_REQUESTS)["detail"]
        assert "this key is allowed 1/day" in detail
    lefts = [post(server, portrait, large).headers["ratelimit"].rpartition(", ")[2][:11] for _ in range(2)]
    assert lefts == ['"jobs";r=1;', '"jobs";r=0;']  # what the key's own bound refused did not count for its owner
    assert "all keys" in refused(post(server, portrait, large), ProblemType.TOO_MANY_REQUESTS)["detail"]
    found = server.client.get("/v1/limits", headers=bearer(large)).json()
    assert found["jobs"] == [
        {"amount": 100, "seconds": 86_400, "shared": False},
        {"amount": 3, "seconds": 86_400, "shared": True},
    ]
    assert found["requests"] == [{"amount": 600, "seconds": 60, "shared": False}]


def test_an_owner_may_be_called_as_a_key_is(start: Start, portrait: bytes, key_file: KeyFile, tmp_path: Path) -> None:
    server = start()
    key, record = key_file.make("team-a", quota="2/day")
    namesake = key_file.make(record.id)[0]
    limit(tmp_path / "data", record.id, "--quota", "2/day")
    for each in (key, namesake, key, namesake):
        assert post(server, portrait, each).status_code == 202


def test_where_nobody_has_keys_nothing_is_bounded(start: Start) -> None:
    found = start().client.get("/v1/limits").json()
    assert (found["requests"], found["jobs"]) == ([], [])

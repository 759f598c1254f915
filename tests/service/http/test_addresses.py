"""Addresses are whole: they begin as the request says it came to us, or as was set."""

import pytest

from jobs.problems import Problem, ProblemType
from tests.service.conftest import FIRST, Server, Start
from tests.service.http.test_middleware import create
from tests.service.routes.test_create import YAW


def addresses(server: Server, portrait: bytes, **headers: str) -> list[str]:
    """What the answer to a create call and a refusal begin with, before their paths."""
    files, data = {"portrait": portrait}, {"motion": YAW}
    created = server.client.post("/v1/images", files=files, data=data, headers=headers)
    path = f"/v1/jobs/{created.json()['id']}"
    told = [created.headers["location"], created.json()["urls"]["self"]]
    refused = server.client.get("/v1/jobs/no", headers=headers).json()
    assert all(address.endswith(path) for address in told), told
    assert refused["instance"].endswith("/v1/jobs/no")
    assert refused["type"].endswith(ProblemType.NOT_FOUND.uri)
    begin = [address.removesuffix(path) for address in told]
    return [
        *begin,
        refused["instance"].removesuffix("/v1/jobs/no"),
        refused["type"].removesuffix(ProblemType.NOT_FOUND.uri),
    ]


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("Portraits.example:8443", "http://portraits.example:8443"),
        ("[2001:db8::1]:80", "http://[2001:db8::1]:80"),
        # what can be no host's name
        ('a"><script>', ""),
        ("a.example/../b?c#d", ""),
        ("user@a.example", ""),
        ("a.example:port", ""),
        ("", ""),
        ("a" * 300, ""),
    ],
)
def test_a_host_is_told_back_where_it_can_be_one(start: Start, portrait: bytes, host: str, base: str) -> None:
    server = start(api_keys=FIRST)
    assert set(addresses(server, portrait, **{"Host": host, "X-API-Key": FIRST})) == {base}


@pytest.mark.parametrize(("trusted", "scheme"), [("", "http"), ("127.0.0.0/8", "https")])
def test_a_proxy_says_the_scheme_where_it_is_trusted(start: Start, portrait: bytes, trusted: str, scheme: str) -> None:
    server = start(api_keys=FIRST, trusted_proxies=trusted)
    headers = {"Host": "portraits.example", "X-Forwarded-Proto": "https", "X-API-Key": FIRST}
    assert set(addresses(server, portrait, **headers)) == {f"{scheme}://portraits.example"}


def test_what_was_set_counts_more_than_what_requests_say(start: Start, portrait: bytes) -> None:
    public = "https://api.example:8443/portraits"
    server = start(public_url=f"{public}/", root_path="/pir")
    assert set(addresses(server, portrait)) == {public}
    assert server.client.get("/v1/jobs", headers={"Host": "api.example"}).status_code == 200  # is a name of ours
    assert server.client.get("/v1/jobs", headers={"Host": "b.example"}).json()["type"].startswith(f"{public}/")
    assert server.client.get("/openapi.json").json()["servers"] == [{"url": public}]


def test_a_path_in_an_instance_is_quoted(server: Server) -> None:
    instance = server.client.get("/v1/jobs/%3Fa%20%23b%C3%A9").json()["instance"]
    assert instance == f"{server.url}/v1/jobs/%3Fa%20%23b%C3%A9"


def test_a_problem_of_a_kept_job_has_the_address_of_who_asks(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()
    server.context.store.claims.fail(server.claim(job["id"]), Problem.of(ProblemType.NO_FACE, "no face"))
    record = server.context.store.get(job["id"])
    assert record is not None
    assert record.error is not None
    assert (record.error.type, record.base_url) == (ProblemType.NO_FACE.uri, server.url)  # the store has the path alone
    for host in (server.url.removeprefix("http://"), "localhost"):
        listed = server.client.get("/v1/jobs", headers={"Host": host}).json()["jobs"][0]
        read = server.client.get(f"/v1/jobs/{job['id']}", headers={"Host": host}).json()
        assert listed == {**read, "input": None}
        assert read["error"]["type"] == f"http://{host}{ProblemType.NO_FACE.uri}"
        assert "base_url" not in read


@pytest.mark.parametrize("call", ["jobs", "portraits"])
def test_lists_link_to_their_pages(start: Start, portrait: bytes, call: str) -> None:
    server = start(root_path="/pir", public_url="http://api.example/pir")
    for _ in range(3):
        created = server.client.post("/v1/portraits", files={"portrait": portrait}).json()
        if call == "jobs":
            server.client.post("/v1/images", files={"portrait_id": (None, created["id"]), "motion": (None, YAW)})
    first = f"http://api.example/pir/v1/{call}?limit=2"
    answer = server.client.get(f"/v1/{call}?limit=2")
    assert answer.links["first"]["url"] == first
    following = answer.links["next"]["url"]
    assert following == f"{first}&cursor={answer.json()['next_cursor']}"
    last = server.client.get(following.removeprefix("http://api.example"))
    assert len(last.json()[call]) == 1
    assert last.links == {"first": {"url": first, "rel": "first"}}
    assert server.client.get(f"/v1/{call}").headers["link"] == f'<http://api.example/pir/v1/{call}>; rel="first"'

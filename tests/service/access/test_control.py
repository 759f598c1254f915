"""Keys, open mode, headers."""

import httpx
import pytest

from jobs.problems import ProblemType
from service.access.control import InsecureSettingsError
from service.app import create_app
from service.settings import Settings
from tests.service.conftest import BOTH, FIRST, SECOND, Server, Start
from tests.service.routes.test_create import YAW, refused

CALLS = [
    ("GET", "/v1/jobs"),
    ("GET", "/v1/controls"),
    ("GET", "/v1/models"),
    ("GET", "/metrics"),
    ("POST", "/v1/images"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "wrong"}, {"Authorization": "Basic Zmlyc3Q="}])
def test_without_a_valid_key_nothing_is_served(start: Start, method: str, path: str, headers: dict[str, str]) -> None:
    response = start(api_keys=f"{FIRST}, {SECOND}").client.request(method, path, headers=headers)
    refused(response, ProblemType.UNAUTHORIZED)
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_each_key_sees_its_own_jobs(start: Start, portrait: bytes) -> None:
    server = start(api_keys=BOTH)
    first, second = ({"Authorization": f"Bearer {key}"} for key in (FIRST, SECOND))
    response = server.client.post(
        "/v1/images", files={"portrait": portrait}, data={"motion": YAW}, headers={"X-API-Key": FIRST}
    )
    url = response.json()["urls"]["self"]
    assert server.client.get(url, headers=first).status_code == 200
    refused(server.client.get(url, headers=second), ProblemType.NOT_FOUND)
    assert len(server.client.get("/v1/jobs", headers=first).json()["jobs"]) == 1
    assert server.client.get("/v1/jobs", headers=second).json()["jobs"] == []


def test_health_needs_no_key(start: Start) -> None:
    server = start(api_keys=FIRST)
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").status_code == 200
    assert server.client.get("/").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_open_mode_is_for_this_machine_alone(host: str) -> None:
    with pytest.raises(InsecureSettingsError, match=f"listening on {host} without an API key"):
        create_app(Settings(host=host))
    create_app(Settings(host=host, allow_open=True))
    create_app(Settings(host=host, api_keys=FIRST))  # type: ignore[arg-type] # as the environment gives it


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.2:8000", "localhost", "[::1]:8000", "[::1]", "127.1.2.3"])
def test_open_mode_knows_every_name_of_this_machine(server: Server, host: str) -> None:
    assert server.client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example:80", "", "[::2]", "10.0.0.1"])
def test_open_mode_answers_to_no_other_name(server: Server, host: str) -> None:
    refused(server.client.get("/v1/jobs", headers={"Host": host}), ProblemType.FORBIDDEN)


def test_pages_of_chosen_origins_may_call_with_a_key(start: Start) -> None:
    server = start(api_keys=FIRST, cors_origins="https://studio.example")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = server.client.options("/v1/images", headers={"Origin": "https://studio.example", **asked})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://studio.example")
    other = server.client.options("/v1/images", headers={"Origin": "https://evil.example", **asked})
    assert "access-control-allow-origin" not in other.headers
    told = server.client.get("/v1/jobs", headers={"Origin": "https://studio.example", "X-API-Key": FIRST}).headers
    exposed = {name.strip().lower() for name in told["access-control-expose-headers"].split(",")}
    assert {"etag", "link", "ratelimit", "ratelimit-policy", "x-request-id"} <= exposed & set(told)
    again = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "if-none-match, x-api-key"}
    assert server.client.options("/v1/jobs", headers={"Origin": "https://studio.example", **again}).status_code == 200


def test_open_mode_refuses_pages_of_other_origins(server: Server, portrait: bytes) -> None:
    def post(**headers: str) -> httpx.Response:
        return server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": YAW}, headers=headers)

    refused(post(Origin="https://evil.example"), ProblemType.FORBIDDEN)
    refused(post(Host="evil.example"), ProblemType.FORBIDDEN)
    assert post(Origin=server.url.rstrip("/")).status_code == 202


def test_open_mode_behind_a_proxy_refuses_pages_of_other_origins_too(start: Start, portrait: bytes) -> None:
    server = start(allow_open=True, hosts="portraits.example")

    def post(**headers: str) -> httpx.Response:
        files, data = {"portrait": portrait}, {"motion": YAW}
        return server.client.post("/v1/images", files=files, data=data, headers=headers)

    refused(post(Origin="https://evil.example"), ProblemType.FORBIDDEN)
    assert post(Host="portraits.example").status_code == 202
    assert post(Host="portraits.example", Origin="https://portraits.example").status_code == 202


def test_every_response_carries_the_security_headers(server: Server) -> None:
    for path in ("/", "/v1/jobs", "/nowhere", "/healthz"):
        headers = server.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        # Our own page records speech and follows faces; nothing that it might hold may
        assert headers["permissions-policy"] == "camera=(self), microphone=(self), geolocation=()"


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIRENDERER_API_KEYS", f"{FIRST}, {SECOND},")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:1/0")
    settings = Settings()
    assert [key.get_secret_value() for key in settings.api_keys] == [FIRST, SECOND]
    assert settings.redis_url == "redis://elsewhere:1/0"
    assert FIRST not in repr(settings)

"""Query parameters that a call does not have are refused, whatever the call."""

import pytest

from jobs.problems import ProblemType
from tests.service.conftest import Server
from tests.service.http.test_middleware import create
from tests.service.routes.test_create import WAV, nothing_left, refused
from tests.support.streamed import Streamed


def test_no_call_has_a_parameter_that_is_not_described(server: Server) -> None:
    calls = 0
    for path, operations in server.client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            if path.startswith("/v1/"):
                calls += 1
                described = [each.get("name") for each in operation.get("parameters", []) if each.get("in") == "query"]
                problem = refused_unless_head(
                    server, method, path.format_map(dict.fromkeys(("job_id", "portrait_id", "number"), "0"))
                )
                assert problem is None or (problem["got"], problem["allowed"]) == (["Limit"], described), path
                assert "422" in operation["responses"], path
    assert calls > 20
    assert nothing_left(server)


def refused_unless_head(server: Server, method: str, path: str) -> dict[str, object] | None:
    response = server.client.request(method, path, params={"Limit": "1"})
    if method == "head":
        assert response.status_code == 422
        return None
    return refused(response, ProblemType.INVALID_REQUEST)


def test_the_refusal_names_what_is_allowed(server: Server) -> None:
    problem = refused(server.client.get("/v1/jobs?limit=1&Limit=2&api_key=secret"), ProblemType.INVALID_REQUEST)
    assert problem["got"] == ["Limit", "api_key"]
    assert "secret" not in str(problem["detail"])
    assert problem["allowed"][:2] == ["limit", "cursor"]
    problem = refused(server.client.post("/v1/images?wait=1"), ProblemType.INVALID_REQUEST)
    assert problem["detail"] == "there is no query parameter 'wait' here; allowed are none"
    long = refused(
        server.client.get("/v1/jobs", params={"a" * 5000: "", **{str(n): "" for n in range(1000)}}),
        ProblemType.INVALID_REQUEST,
    )
    assert len(str(long)) < 2000


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/web/page/main.js", "/healthz", "/problems", "/metrics"])
def test_other_addresses_take_any(server: Server, path: str) -> None:
    assert server.client.get(f"{path}?v=2").status_code == 200


def test_streams_take_what_players_append(server: Server, portrait: bytes) -> None:
    files = {"portrait": portrait, "audio": WAV}
    video = Streamed(server.context, server.client.post("/v1/videos", files=files).json()["id"])
    video.begin()
    video.add(0)
    stream = f"/v1/jobs/{video.job_id}/stream"
    assert server.client.get(f"{stream}.m3u8?_HLS_msn=0&_HLS_part=1&_HLS_skip=YES&CMCD=br%3D1").status_code == 200
    for part in ("init.mp4", "0.m4s"):
        assert server.client.get(f"{stream}/{part}?CMCD=br%3D1").status_code == 200
        assert server.client.head(f"{stream}/{part}?CMCD=br%3D1").status_code == 200
    refused(server.client.get(f"{stream}.m3u8?_HLS_mns=0"), ProblemType.INVALID_REQUEST)


def test_head_is_told_as_get_is(server: Server, portrait: bytes) -> None:
    job = create(server.client, portrait).json()["id"]
    for method in ("GET", "HEAD"):
        assert server.client.request(method, f"/v1/jobs/{job}?x=1").status_code == 422
        assert server.client.request(method, f"/v1/jobs/{job}").status_code == 200

"""Discovery, health, metrics and the document."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.problems import ProblemType
from service.routes.pages import SAMPLES, WEB
from tests.service.conftest import DIMENSION, Server, Start
from tests.service.routes.test_create import YAW, refused


def test_controls_come_from_the_card(server: Server) -> None:
    (space,) = server.client.get("/v1/controls").json()["spaces"]
    assert (space["space"], space["dimension"]) == ("open478", DIMENSION)
    assert [(control["name"], control["minimum"], control["maximum"]) for control in space["controls"]] == [
        ("yaw", -45, 45),
        ("jaw_open", 0, 1),
    ]


def test_the_released_controls_have_names_ranges_and_units(start: Start) -> None:
    (space,) = start(weights_dir=None).client.get("/v1/controls").json()["spaces"]
    units = {control["name"]: control["unit"] for control in space["controls"]}
    assert list(units) == [
        *("yaw", "pitch", "roll", "x", "y", "scale", "jaw_open", "smile", "frown", "pucker"),
        *("blink_left", "blink_right", "brow_raise", "brow_lower", "gaze_x", "gaze_y"),
    ]
    assert set(units.values()) == {"degrees", "face widths", "times", "share of full reach"}
    for control in space["controls"]:
        assert control["minimum"] <= control["neutral"] < control["maximum"]
        assert control["description"]


def test_models_are_the_cards(server: Server) -> None:
    models = server.client.get("/v1/models").json()["models"]
    assert [(model["kind"], model["licence"]) for model in models] == [
        (kind, "Apache-2.0") for kind in ("audio", "extractor", "morphable", "renderer", "skinning")
    ]


def test_voices_are_those_of_what_speaks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def voices(**settings: str) -> Any:
        return start(**settings).client.get("/v1/voices").json()

    chosen = voices(tts_url="http://127.0.0.1:9", tts_voices="nova,onyx", tts_voice="onyx")
    assert chosen == {
        "speaker": "server",
        "voices": [{"id": name, "language": None, "gender": None} for name in ("nova", "onyx")],
        "default": "onyx",
    }
    assert voices(tts_url="http://127.0.0.1:9") == {"speaker": "server", "voices": [], "default": "alloy"}
    if shutil.which("espeak-ng") is not None:
        found = voices()
        assert (found["speaker"], found["default"]) == ("espeak-ng", "en")
        assert {"id": "fr-be", "language": "fr-be", "gender": "male"} in found["voices"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert voices() == {"speaker": None, "voices": [], "default": None}


def test_limits_say_what_is_taken(start: Start) -> None:
    limits = start(max_portrait_bytes=1000, max_audio_seconds=7).client.get("/v1/limits").json()
    assert limits["image"]["formats"][0] == {"media_type": "image/jpeg", "title": "JPEG", "suffix": "jpg"}
    assert [each["title"] for each in limits["image"]["formats"]] == ["JPEG", "PNG", "WebP", "HEIC", "AVIF"]
    assert (limits["image"]["max_bytes"], limits["image"]["max_pixels"]) == (1000, 50_000_000)
    assert (limits["audio"]["max_seconds"], limits["audio"]["max_pixels"]) == (7, None)
    taken = {name: {each["media_type"] for each in limits[name]["formats"]} for name in ("image", "audio", "video")}
    assert taken["video"] < taken["audio"]
    assert not taken["video"] & taken["image"]
    assert limits["max_text_characters"] == 4096


def test_the_page_offers_the_samples(server: Server) -> None:
    for name in ("portrait.jpg", "speech.flac"):
        assert server.client.get(f"/web/samples/{name}").content == (SAMPLES / name).read_bytes()


def test_readiness_needs_redis(start: Start, server: Server) -> None:
    assert server.client.get("/readyz").status_code == 200
    alone = start(redis_url="redis://127.0.0.1:1/0")
    assert alone.client.get("/healthz").status_code == 200
    for path in ("/readyz", "/v1/jobs", "/metrics"):
        response = alone.client.get(path)
        refused(response, ProblemType.UNAVAILABLE)
        assert response.headers["retry-after"] == "5"


def test_metrics_count_requests_by_route_and_jobs_by_kind(start: Start, portrait: bytes) -> None:
    server = start()
    server.client.post("/v1/images", files={"portrait": portrait}, data={"motion": YAW})
    server.client.get("/v1/jobs/nonsense")
    server.client.request("PROPFIND", "/")
    text = server.client.get("/metrics").text
    assert 'pirenderer_jobs_queued{kind="image"} 1.0' in text
    assert 'pirenderer_jobs_submitted_total{kind="image"} 1.0' in text
    assert 'pirenderer_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    assert 'method="other"' in text
    assert "nonsense" not in text.lower()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_the_document_is_whole(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    for reference in references(document):
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
    schemas = document["components"]["schemas"]
    fields = "portrait portrait_id audio text voice motion driving options webhook deadline metadata"
    assert " ".join(schemas["VideoForm"]["properties"]) == " ".join(schemas["VideoFields"]["properties"]) == fields
    assert " ".join(schemas["VideoRequest"]["properties"]) == fields.replace(" portrait_id", "")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], (path, method, status)


OURS = [path for path in WEB.rglob("*") if path.suffix in (".js", ".css") and "vendor" not in path.parts]


@pytest.mark.parametrize("path", ["/", "/docs", *sorted(f"/web/{path.relative_to(WEB)}" for path in OURS)])
def test_the_page_loads_nothing_from_elsewhere(server: Server, path: str) -> None:
    response = server.client.get(path)
    assert response.status_code == 200
    assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in response.text


@pytest.mark.parametrize("path", ["/", "/docs", "/web/page.css", "/web/page/main.js", "/web/samples/portrait.jpg"])
def test_browsers_ask_whether_what_they_kept_of_the_page_is_still_the_same(server: Server, path: str) -> None:
    response = server.client.get(path)
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["etag"]


def test_all_modules_of_the_page_are_fetched_at_once() -> None:
    def imported(module: Path) -> Iterator[Path]:
        for name in re.findall(r'^(?:import|export) [^;]*from "(\.[^"]+)"', module.read_text(), re.MULTILINE):
            yield (module.parent / name).resolve()

    main = WEB / "page" / "main.js"
    needed, due = set[Path](), {main}
    while due:
        needed |= due
        due = {found for module in due for found in imported(module)} - needed
    named = re.findall(r'<link rel="modulepreload" href="web/([^"]+)" />', (WEB / "index.html").read_text())
    assert named == sorted(str(module.relative_to(WEB)) for module in needed - {main})

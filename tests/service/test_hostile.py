"""Hostile files and texts sent to the running front-end: each is answered 4xx or becomes a job, never 5xx."""

import re
from collections import Counter
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.service.conftest import Server, Start
from tests.service.routes.test_create import YAW
from tests.support.hostile import images, motions, sounds, videos

pytestmark = pytest.mark.slow


def cases(portrait: bytes) -> list[tuple[str, str, dict[str, bytes]]]:
    """Name, call and form. Sound and video are only recognised here, so every fourth of them will do.

    Of pictures that are spoiled somewhere every second one is sent: workers' tests read all of them.
    """
    pictures = [(name, data) for name, data in images() if not re.search(r": (cut at|changed) \d*[13579]\b", name)]
    found = [(name, "images", {"portrait": data, "motion": YAW.encode()}) for name, data in pictures]
    found += [(name, "videos", {"portrait": portrait, "audio": data}) for name, data in list(sounds())[::4]]
    found += [(name, "videos", {"portrait": portrait, "driving": data}) for name, data in list(videos())[::4]]
    texts = [(name, data) for name, data in motions() if not name.startswith("motion: ")]
    texts += list(motions())[len(texts) :: 6]
    for name, data in texts:
        found.append((name, "images", {"portrait": portrait, "motion": data}))
        found.append((name, "images", {"portrait": portrait, "motions": b"[" + data + b"]"}))
        found.append((name, "videos", {"portrait": portrait, "motion": data}))
        found.append((name, "images", {"portrait": portrait, "motion": YAW.encode(), "options": data[:60_000]}))
        found.append((name, "images", {"portrait": portrait, "motion": YAW.encode(), "webhook": data[:4000]}))
    return found


def test_hostile_uploads_are_refused_or_queued(start: Start, portrait: bytes) -> None:
    server = start(queue_limit=1_000_000)
    process = psutil.Process()
    before = process.memory_info().rss
    answers: Counter[int] = Counter()
    for name, call, form in cases(portrait):
        files = {field: (f"../../{name}\0.php", data) for field, data in form.items()}
        response = server.client.post(f"/v1/{call}", files=files)
        answers[response.status_code] += 1
        assert response.status_code in (202, 400, 413, 415, 422), (name, call, list(form), response.text)
        assert (response.headers["content-type"] == "application/problem+json") is (response.status_code != 202)
        if response.status_code == 202:
            server.client.delete(response.json()["urls"]["self"])
    assert answers.total() > 900
    assert 0 < answers[202] < answers.total()
    assert process.memory_info().rss - before < 300 << 20
    assert not list(server.artifacts.root.glob("??/*"))
    print(f"{answers.total()} uploads: {dict(sorted(answers.items()))}")  # noqa: T201


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "a\\..\\b", "%2e%2e/x", ".", "CON", "x" * 300])
def test_the_name_of_a_file_means_nothing(server: Server, portrait: bytes, name: str) -> None:
    files = {"portrait": (name, portrait)}
    response = server.client.post("/v1/images", files=files, data={"motion": YAW})
    assert response.status_code == 202
    root: Path = server.artifacts.root
    assert [path.name for path in root.glob("??/*/*")] == ["portrait.jpg"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--x", b"--x--", b"--x\r\n\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n",
        b"--x\r\n" + b"A: b\r\n" * 20_000 + b"\r\n\r\n--x--\r\n",
        b"--x\r\nContent-Disposition: form-data; name=" + b"a" * 50_000,
        b'--x\r\nContent-Disposition: form-data; name="portrait"; name="motion"\r\n\r\n{}\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="\xff\xfe"\r\n\r\n{}\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="motion"\r\n\r\n{}\r\n' * 20 + b"--x--\r\n",
    ],
)  # fmt: skip
def test_a_malformed_form_is_refused(server: Server, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response: httpx.Response = server.client.post("/v1/images", content=body, headers=headers)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"

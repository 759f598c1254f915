"""New weights in place of those that `serve` works with, while it works."""

import json
import signal
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from model.arrays import Pixels
from service.settings import Settings
from tests.service.running.test_serve import Serve, gone
from tests.support.films import pictures_of
from tests.support.processes import PORTRAIT, TURN, need_weights
from tests.support.tiny_weights import write_tiny_weights

pytestmark = pytest.mark.slow

LONG = json.dumps({"keyframes": [{"t": 0, "controls": {}}, {"t": 3, "controls": {"yaw": 15}}]})
PLAIN = json.dumps({"paste_back": False, "size": 128})


def use(link: Path, weights: Path) -> None:
    """As `ln -s WEIGHTS NEW && mv -T NEW LINK` does."""
    (new := link.with_name("new")).symlink_to(weights)
    new.replace(link)


def digest(http: httpx.Client) -> str:
    """Of the renderer, as the API tells of it."""
    (card,) = [card for card in http.get("/v1/models").json()["models"] if card["kind"] == "renderer"]
    return str(card["sha256"])


def made(http: httpx.Client, call: str = "images", motion: str = TURN) -> dict[str, str]:
    """A job, when it has ended or a minute has passed."""
    answer = http.post(
        f"/v1/{call}",
        files={"portrait": PORTRAIT.read_bytes()},
        data={"motion": motion, "options": PLAIN},
        headers={"Prefer": "wait=60"},
    )
    assert answer.status_code in (200, 202), answer.text
    return dict(answer.json())


def film(http: httpx.Client, serve: Serve, job_id: str, folder: Path) -> Pixels:
    """What is seen in a video, once it is made."""
    serve.wait_for(lambda: _ended(http, job_id))
    (path := folder / f"{job_id}.mp4").write_bytes(http.get(f"/v1/jobs/{job_id}/result").content)
    return pictures_of(path)


def test_weights_are_changed_under_load_and_no_job_is_lost(tmp_path: Path) -> None:
    need_weights()
    for seed, name in enumerate(("old", "new-one")):
        (tmp_path / name).mkdir()
        write_tiny_weights(tmp_path / name, seed=seed)
    use(link := tmp_path / "current", tmp_path / "old")
    serve = Serve(tmp_path / "data", link, tmp_path / "log", PIRENDERER_ENGINE="torch")
    jobs, stop = list[str](), threading.Event()
    try:
        with httpx.Client(base_url=serve.url(), timeout=90, trust_env=False) as http:

            def load() -> None:
                with httpx.Client(base_url=http.base_url, timeout=90, trust_env=False) as other:
                    while not stop.wait(0.2):
                        jobs.append(made(other)["id"])

            image = made(http)["id"]
            assert http.get(f"/v1/jobs/{image}").json()["status"] == "succeeded"
            before, picture = digest(http), http.get(f"/v1/jobs/{image}/result").content
            old = film(http, serve, made(http, "videos", LONG)["id"], tmp_path)
            data = {"motion": LONG, "options": PLAIN}
            video = http.post("/v1/videos", files={"portrait": PORTRAIT.read_bytes()}, data=data).json()["id"]
            jobs.append(video)
            loading = threading.Thread(target=load)
            loading.start()
            serve.wait_for(lambda: _rendered(http, video) > 0)
            before_renewal = [child for name, child in serve.children().items() if name != "redis"]
            use(link, tmp_path / "new-one")
            serve.process.send_signal(signal.SIGUSR2)
            serve.wait_for(lambda: gone(before_renewal))
            count = len(jobs)
            serve.wait_for(lambda: len(jobs) > count + 2)
            stop.set()
            loading.join()
            serve.wait_for(lambda: all(_ended(http, each) for each in jobs))
            found = [http.get(f"/v1/jobs/{each}").json() for each in jobs]
            assert [each["error"] for each in found if each["status"] != "succeeded"] == []
            assert digest(http) != before
            again = made(http)["id"]
            assert http.get(f"/v1/jobs/{again}/result").content != picture
            new = film(http, serve, made(http, "videos", LONG)["id"], tmp_path)
            assert not np.array_equal(old, new)
            shared = film(http, serve, video, tmp_path)
            assert any(np.array_equal(shared, each) for each in (old, new))  # it is of one look
            print(f"{len(jobs)} jobs while weights were changed, 0 lost")  # noqa: T201
    finally:
        stop.set()
        serve.stop(signal.SIGTERM)


def _rendered(http: httpx.Client, job_id: str) -> int:
    """How many frames of a video are rendered."""
    return int((http.get(f"/v1/jobs/{job_id}").json()["progress"] or {"done": 0})["done"])


def _ended(http: httpx.Client, job_id: str) -> bool:
    return http.get(f"/v1/jobs/{job_id}").json()["status"] not in ("queued", "running")


def test_a_process_stays_with_the_folder_that_it_began_with(tmp_path: Path) -> None:
    for name in ("old", "new-one"):
        (tmp_path / name).mkdir()
    use(link := tmp_path / "current", tmp_path / "old")
    settings = Settings(weights_dir=link)
    use(link, tmp_path / "new-one")
    assert settings.weights_dir == tmp_path / "old"
    assert Settings(weights_dir=link).weights_dir == tmp_path / "new-one"

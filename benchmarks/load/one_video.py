"""How work on one long video scales over workers, and how long an image waits behind one."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.load.waiting_videos import FPS, FRAME_S
from benchmarks.load.workers import workers
from worker.settings import WorkerSettings

STEPS = (1, 2, 4, 8, 16)
IMAGE_S = 0.1
LONG_S, LONG_FPS = 300.0, 50  # as many frames as ten minutes have at 25 a second
IMAGES = 12
EVERY_S = 3.7  # from one image to the next, which is no multiple of a segment's time


def measure_one_video(report: dict[str, Any], url: str, settings: WorkerSettings, key: str, portrait: Path) -> None:
    """Put into the report what is measured, with workers that render nothing."""
    photo = portrait.read_bytes()
    report |= {
        "frame_ms": 1000 * FRAME_S,
        "long_frames": round(LONG_S * LONG_FPS),
        "one_video": [],
        "images_beside": [],
    }
    with (
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False) as http,
        workers(settings, most=STEPS[-1], job_s=IMAGE_S) as simulated,
    ):

        def create(call: str, motion: dict[str, Any], **options: float) -> str:
            texts = {"motion": (None, json.dumps(motion)), "options": (None, json.dumps(options))}
            answer = http.post(f"/v1/{call}", files={"portrait": photo, **texts})
            answer.raise_for_status()
            return str(answer.json()["id"])

        def ended(job: str) -> dict[str, Any]:
            while (found := http.get(f"/v1/jobs/{job}").json())["finished_at"] is None:
                time.sleep(0.2)
            assert found["status"] in ("succeeded", "canceled"), found
            return dict(found)

        simulated.activate(1)
        long = create("videos", turning(LONG_S), fps=LONG_FPS)
        time.sleep(5)
        for _ in range(IMAGES):
            image = ended(create("images", {"controls": {"yaw": 20}}))
            report["images_beside"].append(_between(image, "created_at", "started_at"))
            time.sleep(EVERY_S)
        http.post(f"/v1/jobs/{long}/cancel")
        ended(long)
        for count in STEPS:
            simulated.activate(count)
            time.sleep(2)
            video = ended(create("videos", turning(report["video_seconds"])))
            took = _between(video, "started_at", "finished_at")
            efficiency = report["video_seconds"] * FPS * FRAME_S / (count * took)
            row = {"workers": count, "seconds": took, "efficiency": efficiency}
            report["one_video"].append({name: round(value, 3) for name, value in row.items()})


def turning(seconds: float) -> dict[str, Any]:
    """The motion of a video of so many seconds."""
    return {"keyframes": [{"t": 0, "controls": {"yaw": 0}}, {"t": seconds, "controls": {"yaw": 20}}]}


def _between(job: dict[str, Any], first: str, last: str) -> float:
    begin, end = (datetime.fromisoformat(job[name]) for name in (first, last))
    return (end - begin).total_seconds()

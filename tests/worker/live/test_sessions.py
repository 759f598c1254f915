"""Live sessions in a real worker, which tests drive as a front-end does."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
import redis
import soundfile

from jobs.files.keys import new_id
from jobs.live import DriveOptions
from jobs.motions import ControlsMotion
from jobs.problems import ProblemType
from jobs.schemas import ImageOptions, ImageSpec, JobStatus
from jobs.store.live import SILENT_S
from jobs.store.names import Key
from model.arrays import Pixels
from tests.support.live import Viewer, decoded
from tests.support.processes import until
from tests.worker.conftest import SAMPLES, Bench
from worker.live.camera import STARTS_S

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("worker_process")]

View = Callable[..., Viewer]


@pytest.fixture
def view(bench: Bench, portrait: Path) -> View:
    """Begins sessions with a portrait."""

    def begin(photo: Path | bytes = portrait, **options: int) -> Viewer:
        folder = new_id()
        bench.artifacts.create_folder(folder)
        file = bench.put(folder, "portrait.jpg", photo, "image/jpeg")
        return Viewer(bench.store, bench.environment["PIRENDERER_REDIS_URL"], file, **options)

    return begin


def picture(viewer: Viewer, number: int | None) -> Pixels:
    """What shows a state, when it has come."""
    until(lambda: viewer.shown(number) is not None, lambda: f"no picture of {number}: {viewer.told}")
    shown = viewer.shown(number)
    assert shown is not None
    return shown


def difference(one: Pixels, other: Pixels) -> float:
    """Of two pictures, in grey levels a pixel."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_the_newest_state_is_shown(view: View) -> None:
    with view() as viewer:
        resting = picture(viewer, None)
        assert resting.shape == (128, 128, 3)
        viewer.pose(1, yaw=20.0, smile=0.5)
        turned = picture(viewer, 1)
        assert difference(resting, turned) > 2
        for number in range(2, 40):
            viewer.pose(number, yaw=float(number))
        picture(viewer, 39)
        viewer.pose(40)
        assert difference(picture(viewer, 40), resting) < 1
        numbers = [header["number"] for header, _ in viewer.pictures if header["number"] is not None]
        assert numbers == sorted(numbers)
        count = len(viewer.pictures)
        time.sleep(0.6)
        assert len(viewer.pictures) <= count + 1  # nothing is drawn while nothing changes
        assert viewer.told[0] == {
            "type": "started", "session": viewer.session_id, "width": 128, "height": 128, "space": "open478"
        }  # fmt: skip
        assert [header["picture"] for header, _ in viewer.pictures] == sorted(
            header["picture"] for header, _ in viewer.pictures
        )


def test_a_control_that_there_is_not_is_told_and_the_session_goes_on(view: View) -> None:
    with view() as viewer:
        picture(viewer, None)
        viewer.pose(1, wings=1.0)
        until(lambda: "problem" in viewer.types(), lambda: str(viewer.told))
        assert "'wings'" in viewer.told[-1]["problem"]["detail"]
        viewer.pose(2, yaw=3.0)
        picture(viewer, 2)
        assert not viewer.ended


def test_a_photo_without_a_face_ends_it(view: View, bench: Bench) -> None:
    grey = cv2.imencode(".jpg", np.full((300, 300, 3), 127, np.uint8))[1].tobytes()
    with view(grey) as viewer:
        until(lambda: viewer.ended, lambda: str(viewer.told))
        assert viewer.told[-1]["problem"]["type"] == ProblemType.NO_FACE.uri
        until(lambda: viewer.silent_s == float("inf"), "the worker does not leave it")


def test_a_portrait_that_was_deleted_ends_it(view: View, bench: Bench) -> None:
    """As when another worker takes it over."""
    viewer = view()
    bench.artifacts.delete(viewer.portrait.key)
    with viewer:
        until(lambda: viewer.ended, lambda: str(viewer.told))
        assert viewer.told[-1]["problem"]["type"] == ProblemType.NOT_FOUND.uri


def test_sound_moves_the_lips_and_stops(view: View, speech_weights: None) -> None:
    sound, rate = soundfile.read(SAMPLES / "speech.flac", dtype="int16")
    assert rate == 16_000
    pieces = [sound[start : start + 1600].tobytes() for start in range(0, 5 * rate, 1600)]
    with view() as viewer:
        resting = picture(viewer, None)
        viewer.say(by="sound", driven=1, options=DriveOptions(seed=1, still=True), number=1)
        picture(viewer, 1)
        viewer.say(number=2)
        picture(viewer, 2)  # what is drawn from now on is of the sound
        count = len(viewer.pictures)
        begin = time.monotonic()
        for number, piece in enumerate(pieces):
            time.sleep(max(0.0, begin + 0.1 * number - time.monotonic()))
            viewer.hear(piece)
        until(lambda: viewer.pictures[count:] and viewer.pictures[-1][0]["at"] > 2, lambda: str(viewer.pictures[-1][0]))
        spoken = viewer.pictures[count:]
        ats = [header["at"] for header, _ in spoken]
        assert ats == sorted(ats)
        shown = [decoded(jpeg)[75:115, 40:90] for _, jpeg in spoken]
        assert max(difference(each, shown[0]) for each in shown) > 2
        viewer.say(by="controls", driven=2)
        viewer.pose(7)
        until(lambda: (last := viewer.shown(7)) is not None and difference(last, resting) < 1, "no rest")


def test_a_camera_moves_the_face(view: View, astronaut: Path) -> None:
    frame = astronaut.read_bytes()
    nobody = cv2.imencode(".jpg", np.full_like(cv2.imread(str(astronaut)), 90))[1].tobytes()
    mirrored = cv2.imencode(".jpg", cv2.flip(cv2.imread(str(astronaut)), 1))[1].tobytes()
    with view() as viewer:
        resting = picture(viewer, None)
        viewer.say(by="camera", driven=1)

        def look_until(jpeg: bytes, condition: Callable[[dict[str, Any], Pixels], bool]) -> None:
            def seen() -> bool:
                viewer.look(jpeg)
                header, shown = viewer.pictures[-1]
                return condition(header, decoded(shown))

            until(seen, lambda: f"{viewer.pictures[-1][0]}", every_s=0.07)

        look_until(nobody, lambda header, _: not header["seen"])  # time is the camera's from now on
        look_until(frame, lambda header, _: header["seen"])
        neutral_at = viewer.pictures[-1][0]["at"] + STARTS_S
        look_until(frame, lambda header, _: header["at"] > neutral_at)
        look_until(mirrored, lambda _, shown: difference(shown, resting) > 1)
        viewer.look(b"\xff\xd8\xff\xe0 no picture")
        until(lambda: "problem" in viewer.types(), lambda: str(viewer.told))
        viewer.say(by="controls", driven=2, number=9)
        until(lambda: (last := viewer.shown(9)) is not None and difference(last, resting) < 1, "no rest")


def turn(bench: Bench, portrait: Path) -> str:
    return bench.submit(
        lambda job: ImageSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            motion=ControlsMotion(controls={"yaw": 10}),
            options=ImageOptions(),
        )
    )


def test_jobs_are_done_beside_it_by_the_only_worker(view: View, bench: Bench, portrait: Path) -> None:
    with view() as viewer:
        picture(viewer, None)
        bench.succeeded(turn(bench, portrait))
        until(lambda: viewer.types() == ["started", "waiting", "started"], lambda: str(viewer.types()))
        viewer.pose(1, yaw=5.0)
        picture(viewer, 1)
        video = bench.submit_sway(portrait, 2.0)
        numbers = iter(range(2, 10_000))
        while not bench.job(video).status.finished:
            viewer.pose(next(numbers), yaw=5.0)
            time.sleep(0.05)
        assert bench.job(video).status is JobStatus.SUCCEEDED
        last = next(numbers)
        viewer.pose(last, yaw=-5.0)
        picture(viewer, last)


def test_it_ends_with_its_front_end(view: View, bench: Bench, portrait: Path) -> None:
    with view() as viewer:
        picture(viewer, None)
        bench.store.live.close(viewer.session_id)
        bench.succeeded(turn(bench, portrait))
        assert "waiting" not in viewer.types()  # the worker was free


def holder(bench: Bench, viewer: Viewer) -> psutil.Process:
    """The process that has a session."""
    with redis.Redis.from_url(bench.environment["PIRENDERER_REDIS_URL"], decode_responses=True) as client:
        name = client.hget(Key.LIVE_SESSION + viewer.session_id, "holder")
    assert isinstance(name, str)
    return psutil.Process(int(name.rpartition(":")[2]))


def test_another_goes_on_where_a_worker_dies(view: View, bench: Bench) -> None:
    with view() as viewer:
        viewer.pose(1, yaw=20.0)
        turned = picture(viewer, 1)
        holder(bench, viewer).kill()
        until(lambda: (viewer.silent_s or 0) > SILENT_S, "its death is not seen")
        count = len(viewer.pictures)
        viewer.call()
        until(lambda: len(viewer.pictures) > count, "nobody goes on")
        assert difference(picture(viewer, 1), turned) < 1


def test_a_worker_that_is_told_to_stop_leaves_it(bench: Bench, view: View) -> None:
    other = bench.start_worker()
    bench.wait_for_workers(2)
    with view() as viewer:
        picture(viewer, None)
        worker = holder(bench, viewer).ppid()
        os.kill(worker, signal.SIGTERM)
        until(lambda: viewer.silent_s == float("inf"), "it is not left")
        count = len(viewer.pictures)
        viewer.call()
        until(lambda: len(viewer.pictures) > count, "nobody goes on")
        until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie", "it goes on")
    other.stop()

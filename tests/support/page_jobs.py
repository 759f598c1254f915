"""Jobs that are sent from the page, and the worker's part of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from jobs.schemas import ImageSpec, VideoSpec
from tests.service.conftest import Server, photo
from tests.service.routes.test_create import WAV
from tests.support.processes import until
from tests.support.streamed import Streamed
from worker.media.stream import Fragments


def job_of(server: Server, queue: str, number: int = 1) -> str:
    """The `number`th job that was sent to a queue, once it is there."""
    until(lambda: len(server.queued_messages(queue)) >= number, "nothing is sent")
    return server.queued_messages(queue)[number - 1]


def image_spec(server: Server, job_id: str) -> ImageSpec:
    """What an image job is made of."""
    spec = server.spec(job_id)
    assert isinstance(spec, ImageSpec)
    return spec


def video_spec(server: Server, job_id: str) -> VideoSpec:
    """What a video job is made of."""
    spec = server.spec(job_id)
    assert isinstance(spec, VideoSpec)
    return spec


def choose_portrait(page: Page, portrait_file: Path) -> None:
    """Choose a photo, and see it on the stage."""
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#picture img")).to_be_visible()


def send_picture(page: Page, server: Server, number: int = 1) -> str:
    """Send the pose as it is; the job that comes of it."""
    page.locator("#tab-pose").click()
    page.locator("#make-picture").click()
    return job_of(server, "images", number)


def send_speech(page: Page, server: Server, portrait_file: Path, number: int = 1) -> Streamed:
    """Send a portrait and speech; the job that comes of it."""
    speech = portrait_file.with_name("speech.wav")
    speech.write_bytes(WAV)
    choose_portrait(page, portrait_file)
    page.locator("#tab-speech").click()
    expect(page.locator("#speech-submit")).to_be_disabled()
    page.locator("#audio").set_input_files(speech)
    page.locator("#speech-submit").click()
    return Streamed(server.context, job_of(server, "videos", number))


def see_picture(page: Page, width: int) -> Locator:
    """Wait for a result of so many pixels across."""
    shown = page.locator("#picture img")
    until(lambda: width in shown.evaluate_all("all => all.map(image => image.naturalWidth)"), "no result is shown")
    return shown.last


@contextmanager
def making_pictures(server: Server) -> Iterator[None]:
    """Whatever images are asked for meanwhile are made, 200 pixels wide."""
    stop = threading.Event()

    def work() -> None:
        done: set[str] = set()
        while not stop.wait(0.02):
            for job in set(server.queued_messages("images")) - done:
                done.add(job)
                server.succeed(job, photo(200, 100, "PNG"))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


@dataclass(frozen=True)
class Video:
    """A video as workers make it: its files, what players read first, its segments, and what is made of them."""

    made: Fragments
    init: bytes
    segments: list[bytes]
    whole: bytes
    frames: int

    def make(self, job: Streamed) -> None:
        """Make it at once."""
        job.begin(self.init)
        for number, segment in enumerate(self.segments):
            job.add(number, segment)
        job.end(self.frames)
        job.join(self.whole)

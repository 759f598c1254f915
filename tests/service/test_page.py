"""The page in a real browser: a portrait, a slider, a result."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Error, Page, Request, expect, sync_playwright

from jobs.motions import ControlsMotion
from jobs.problems import Problem, ProblemType
from jobs.schemas import ImageSpec, Progress, VideoSpec
from tests.service.conftest import FIRST, Server, Start, photo
from tests.service.routes.test_create import WAV
from tests.support.buckets import Bucket
from tests.support.limits import SOUND_LIMITS
from tests.support.processes import until
from tests.support.proxies import under_path
from tests.support.streamed import Streamed
from tests.support.streams import stream
from worker.media.audio import open_sound
from worker.media.gif import write_gif
from worker.media.stream import Fragments, join_fragments
from worker.media.webm import write_webm
from worker.media.webp import write_webp

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no browser: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@contextmanager
def complaining(browser: Browser, *, but: str = "") -> Iterator[Page]:
    """A page that must have nothing to complain of, `but` this, such as what the content security policy stopped."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert [complaint for complaint in complaints if not but or but not in complaint] == []


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with complaining(browser) as page:
        page.goto(server.url)
        yield page


@pytest.fixture
def portrait_file(tmp_path: Path) -> Path:
    path = tmp_path / "me.jpg"
    path.write_bytes(photo(320, 240))
    return path


def test_a_pose_becomes_an_image(page: Page, server: Server, portrait_file: Path) -> None:
    def work() -> None:
        while not (jobs := server.queued_messages("images")):
            pass
        claim = server.claim(jobs[0])
        server.context.store.claims.progress(claim, Progress(stage="render", done=1, total=4))
        server.context.store.claims.give_back(claim)
        server.succeed(jobs[0], photo(200, 100, "PNG"))

    expect(page.locator("#submit")).to_be_disabled()
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#preview")).to_be_visible()
    page.locator("[data-control=yaw]").fill("30")
    submit(page, work)
    expect(page.locator("#status")).to_have_text("succeeded")
    (record,), _ = server.context.store.lookups.page("everyone")
    spec = server.spec(record.id)
    assert isinstance(spec, ImageSpec)
    assert spec.motion == ControlsMotion(controls={"yaw": 30.0})
    assert spec.options.paste_back is True


def animate(page: Page, server: Server, portrait_file: Path) -> None:
    """Send a portrait and see what a worker makes of it."""

    def work() -> None:
        while not (jobs := server.queued_messages("images")):
            pass
        server.succeed(jobs[0], photo(200, 100, "PNG"))

    page.locator("#portrait").set_input_files(portrait_file)
    submit(page, work)


def submit(page: Page, work: Callable[[], None]) -> None:
    """Send what was chosen, and wait for the picture of 200 x 100 pixels that is made of it meanwhile."""
    worker = threading.Thread(target=work)
    worker.start()
    page.locator("#submit").click()
    expect(page.locator("#result img")).to_be_visible(timeout=30_000)
    worker.join()
    assert page.locator("#result img").evaluate("image => image.naturalWidth") == 200


def test_a_result_comes_from_a_bucket_and_the_key_does_not_go_there(
    browser: Browser, start: Start, bucket: Bucket, portrait_file: Path
) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)

    with complaining(browser) as page:
        asked: list[Request] = []
        page.on("request", lambda request: asked.extend([request]))  # it takes no builtin
        page.add_init_script(f"sessionStorage.setItem('key', '{FIRST}')")
        page.goto(server.url)
        animate(page, server, portrait_file)
        there = [request for request in asked if request.url.startswith(bucket.settings["s3_endpoint_url"])]
        assert [request.method for request in there] == ["GET"]  # with a key, the browser would ask for leave first
        assert "authorization" not in there[0].all_headers()
        assert any("authorization" in request.all_headers() for request in asked)


def test_it_works_under_the_path_of_a_proxy(browser: Browser, start: Start, portrait_file: Path) -> None:
    server = start(allow_open=True)  # which knows nothing of the path

    with under_path(server.url.rstrip("/"), "/pir") as url, complaining(browser) as page:
        page.goto(f"{url}/")
        animate(page, server, portrait_file)


def test_the_sliders_are_followed_and_the_photo_is_sent_once(page: Page, server: Server, portrait_file: Path) -> None:
    uploads: list[str] = []
    page.on("request", lambda request: uploads.append(request.url) if request.method == "POST" else None)
    stop = threading.Event()

    def work() -> None:
        done: set[str] = set()
        while not stop.is_set():
            for job in set(server.queued_messages("images")) - done:
                done.add(job)
                server.succeed(job, photo(100 + len(done), 100, "PNG"))

    worker = threading.Thread(target=work)
    worker.start()
    try:
        page.locator("#portrait").set_input_files(portrait_file)
        page.locator("#live").check()
        expect(page.locator("#result img")).to_be_visible(timeout=30_000)
        for yaw in ("5", "10", "15", "20"):
            page.locator("[data-control=yaw]").fill(yaw)
        for _ in range(300):
            records, _ = server.context.store.lookups.page("everyone")
            spec = server.spec(records[0].id)
            assert isinstance(spec, ImageSpec)
            if spec.motion == ControlsMotion(controls={"yaw": 20.0}):
                break
            page.wait_for_timeout(20)
        else:
            pytest.fail("the last pose was not asked for")
        expect(page.locator("#status")).to_have_text("succeeded")
    finally:
        stop.set()
        worker.join()
    assert [url.rpartition("/")[2] for url in uploads].count("portraits") == 1


def test_speech_goes_to_the_videos_and_a_failure_is_told(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#tab-speech").click()
    page.locator("#still").check()
    job = send_speech(page, server, portrait_file)
    problem = Problem.of(ProblemType.NO_FACE, "no face in the portrait")
    server.context.store.claims.fail(server.claim(job.job_id), problem)
    expect(page.locator("#result")).to_have_text(re.compile("no face in the portrait"), timeout=30_000)
    (record,), _ = server.context.store.lookups.page("everyone")
    spec = server.spec(record.id)
    assert isinstance(spec, VideoSpec)
    assert spec.options.still is True


@dataclass(frozen=True)
class Video:
    """A video as workers make it: its files, what players read first, its segments, and what is made of them."""

    made: Fragments
    init: bytes
    segments: list[bytes]
    whole: bytes
    frames: int


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """One of three segments, with noise to be heard."""
    folder, frames = tmp_path_factory.mktemp("video"), 12 + 24 + 10
    picture = np.random.default_rng(0).integers(16, 235, (72, 64)).astype(np.uint8)
    soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0, 0.1, frames * 1920), 48_000)
    sound = open_sound(folder / "a.wav", SOUND_LIMITS)
    made = stream(folder, [np.roll(picture, number, 1) for number in range(frames)], sound=sound)
    join_fragments(made.video, folder / "whole.mp4")
    segments = [path.read_bytes() for path in made.fragments]
    return Video(made.video, made.init.read_bytes(), segments, (folder / "whole.mp4").read_bytes(), frames)


def send_speech(page: Page, server: Server, portrait_file: Path) -> Streamed:
    """Send a portrait and speech; the job that comes of it."""
    speech = portrait_file.with_name("speech.wav")
    speech.write_bytes(WAV)
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("#tab-speech").click()
    expect(page.locator("#submit")).to_be_disabled()
    page.locator("#audio").set_input_files(speech)
    page.locator("#submit").click()
    until(lambda: server.queued_messages("videos"), 30, "nothing is sent")
    return Streamed(server.context, server.queued_messages("videos")[-1])


def play_to_the_end(page: Page, job: Streamed, video: Video) -> None:
    """Make a video slower than it plays, and see it play as far as it is there."""
    player = page.locator("#result video")

    def see(condition: str) -> None:
        until(lambda: player.evaluate(f"video => {condition}"), 30, f"{condition} stays false")

    expect(player).to_have_count(0)
    job.begin(video.init)
    job.add(0, video.segments[0])
    see("video.currentTime > 0.3")
    expect(page.locator("#progress")).to_be_visible()
    expect(page.locator("#cancel")).to_be_visible()
    job.add(1, video.segments[1])
    see("video.currentTime > 1.3")
    job.add(2, video.segments[2])
    job.end(video.frames)
    player.evaluate("video => { video.pause(); video.source = video.src; }")
    job.join(video.whole)
    expect(page.locator("#result a")).to_have_text("Download", timeout=30_000)
    expect(page.locator("#status")).to_have_text("succeeded")
    assert player.evaluate("video => video.src === video.source && video.currentTime > 1.3 && !video.loop")
    player.evaluate("video => video.play()")
    see("video.loop")
    assert player.evaluate("video => video.src === document.querySelector('#result a').href")
    see("video.duration > 1.8")
    assert page.locator("#result a").evaluate("link => link.download") == "portrait.mp4"


def test_a_video_plays_while_it_is_made(page: Page, server: Server, portrait_file: Path, video: Video) -> None:
    job = send_speech(page, server, portrait_file)
    play_to_the_end(page, job, video)
    page.locator("#tab-pose").click()
    animate(page, server, portrait_file)


def test_a_video_plays_from_a_bucket(
    browser: Browser, start: Start, bucket: Bucket, portrait_file: Path, video: Video
) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)

    with complaining(browser) as page:
        asked: list[Request] = []
        page.on("request", lambda request: asked.extend([request]))
        page.add_init_script(f"sessionStorage.setItem('key', '{FIRST}')")
        page.goto(server.url)
        job = send_speech(page, server, portrait_file)
        play_to_the_end(page, job, video)
        there = [request for request in asked if request.url.startswith(bucket.settings["s3_endpoint_url"])]
        assert len(there) == 5  # the beginning, three segments and the result
        assert not any("authorization" in request.all_headers() for request in there)


@pytest.mark.parametrize(("end", "shown"), [("failed", "the encoder gave up"), ("canceled", "")])
def test_a_player_stops_when_the_job_does(
    browser: Browser, server: Server, portrait_file: Path, video: Video, *, end: str, shown: str
) -> None:
    with complaining(browser, but="the server responded with a status of") as page:  # to who waits for a segment
        page.goto(server.url)
        job = send_speech(page, server, portrait_file)
        job.begin(video.init)
        job.add(0, video.segments[0])
        expect(page.locator("#result video")).to_be_visible(timeout=30_000)
        if end == "failed":
            server.context.store.claims.fail(job.plan, Problem.of(ProblemType.INTERNAL, shown))
        else:
            page.locator("#cancel").click()
            until(lambda: server.client.get(f"/v1/jobs/{job.job_id}").json()["cancel_requested"], 30, "nobody cancels")
            server.context.store.claims.cancel(job.plan)
        expect(page.locator("#status")).to_have_text(end, timeout=30_000)
        expect(page.locator("#result video")).to_have_count(0)
        expect(page.locator("#result")).to_have_text(shown)


def test_where_the_stream_cannot_be_played_the_result_is_shown(
    browser: Browser, server: Server, portrait_file: Path, video: Video
) -> None:
    with complaining(browser) as page:
        page.add_init_script("delete window.MediaSource; HTMLMediaElement.prototype.canPlayType = () => ''")
        page.goto(server.url)
        job = send_speech(page, server, portrait_file)
        job.begin(video.init)
        for number, segment in enumerate(video.segments):
            job.add(number, segment)
        job.end(video.frames)
        player = page.locator("#result video")
        expect(player).to_have_count(1)
        expect(player).to_be_hidden()
        job.join(video.whole)
        expect(player).to_be_visible(timeout=30_000)
        until(lambda: player.evaluate("video => video.duration") > 1.8, 30, "it is not the whole video")
        assert player.evaluate("video => video.loop && video.src === document.querySelector('#result a').href")


def try_controls(page: Page) -> None:
    """Ask for the controls from the page that describes the calls."""
    page.locator("#operations-discovery-list_controls").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute", exact=True).click()
    expect(page.locator(".live-responses-table .response")).to_contain_text(re.compile("^200.*jaw_open", re.DOTALL))


def test_calls_are_listed_and_can_be_tried(browser: Browser, start: Start) -> None:
    server = start(api_keys=FIRST)
    with complaining(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(f"sessionStorage.setItem('key', '{FIRST}')")
        page.goto(server.url)
        page.get_by_role("link", name="API").click()
        try_controls(page)
        document = server.client.get("/openapi.json").json()
        described = sum(len(methods) for kind in ("paths", "webhooks") for methods in document[kind].values())
        expect(page.locator(".opblock")).to_have_count(described)
        for summary in page.locator(".opblock-summary").all()[:5]:
            summary.click()
        expect(page.locator(".opblock.is-open")).to_have_count(6)
        assert [url for url in asked if not url.startswith((server.url, "data:"))] == []


def test_calls_can_be_tried_under_the_path_of_a_proxy(browser: Browser, start: Start) -> None:
    with under_path(start(allow_open=True).url.rstrip("/"), "/pir") as url, complaining(browser) as page:
        page.goto(f"{url}/docs")
        try_controls(page)


PLAYED = """async bytes => {
  const video = document.createElement("video");
  const event = name => new Promise((resolve, reject) => {
    video.addEventListener(name, resolve);
    video.addEventListener("error", () => reject(video.error.message));
  });
  const loaded = event("loadeddata"), ended = event("ended");
  video.src = URL.createObjectURL(new Blob([new Uint8Array(bytes)], { type: "video/webm" }));
  await loaded;
  const { videoWidth, videoHeight, duration } = video;
  await video.play();
  await ended;
  const heard = (await new AudioContext().decodeAudioData(new Uint8Array(bytes).buffer)).duration;
  return { size: [videoWidth, videoHeight], duration, heard, frames: video.getVideoPlaybackQuality().totalVideoFrames };
}"""

SHOWN = """async ([bytes, type]) => {
  const decoder = new ImageDecoder({ data: new Uint8Array(bytes), type });
  await decoder.tracks.ready;
  await decoder.completed;
  const { frameCount, repetitionCount } = decoder.tracks.selectedTrack;
  let microseconds = 0;
  for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
    const { image } = await decoder.decode({ frameIndex });
    microseconds += image.duration;
    image.close();
  }
  return { frames: frameCount, endless: repetitionCount === Infinity, microseconds };
}"""


def test_browsers_play_a_webm(page: Page, video: Video, tmp_path: Path) -> None:
    write_webm(video.made, tmp_path / "a.webm", lambda done: None)
    played = page.evaluate(PLAYED, list((tmp_path / "a.webm").read_bytes()))
    assert played["size"] == [64, 48]
    assert played["duration"] == pytest.approx(video.frames / 25, abs=0.04)
    assert played["heard"] == pytest.approx(video.frames / 25, abs=0.04)
    assert played["frames"] > video.frames / 2  # a slow machine drops some


@pytest.mark.parametrize(("write", "kind"), [(write_gif, "gif"), (write_webp, "webp")])
def test_browsers_show_a_gif_and_a_webp(page: Page, video: Video, tmp_path: Path, write: Any, kind: str) -> None:
    write(video.made, tmp_path / "a", lambda done: None)
    shown = page.evaluate(SHOWN, [list((tmp_path / "a").read_bytes()), f"image/{kind}"])
    assert shown == {"frames": video.frames, "endless": True, "microseconds": video.frames * 40_000}

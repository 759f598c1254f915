"""Videos play on the page while they are made, and as files afterwards."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.service.conftest import FIRST, Server, Start
from tests.support.buckets import Bucket
from tests.support.page_jobs import Video, making_pictures, see_picture, send_picture, send_speech
from tests.support.processes import until
from tests.support.streamed import Streamed
from worker.media.gif import write_gif
from worker.media.webm import write_webm
from worker.media.webp import write_webp

pytestmark = pytest.mark.slow


def see(page: Page, condition: str) -> None:
    """Wait for the video on the stage to be so."""
    shown = page.locator("#picture video")
    until(lambda: shown.evaluate(f"video => {condition}"), f"{condition} stays false")


def play_to_the_end(page: Page, job: Streamed, video: Video) -> None:
    """Make a video slower than it plays, and see it play as far as it is there."""
    player = page.locator("#picture video")
    expect(player).to_have_count(0)
    job.begin(video.init)
    job.add(0, video.segments[0])
    see(page, "video.currentTime > 0.3")
    expect(page.locator("#work progress")).to_be_visible()
    expect(page.locator("#cancel")).to_be_visible()
    job.add(1, video.segments[1])
    see(page, "video.currentTime > 1.3")
    assert not player.evaluate("video => video.muted")
    job.add(2, video.segments[2])
    job.end(video.frames)
    player.evaluate("video => { video.pause(); video.source = video.src; }")
    job.join(video.whole)
    expect(page.locator("#download")).to_be_visible()
    expect(page.locator("#status")).to_have_text("It is done.")
    assert player.evaluate("video => video.src === video.source && video.currentTime > 1.3 && !video.loop")
    player.evaluate("video => video.play()")
    see(page, "video.loop")
    assert player.evaluate("video => video.src === document.querySelector('#download').href")
    see(page, "video.duration > 1.8")


def test_a_video_plays_while_it_is_made(page: Page, server: Server, portrait_file: Path, video: Video) -> None:
    job = send_speech(page, server, portrait_file)
    play_to_the_end(page, job, video)
    with making_pictures(server):
        send_picture(page, server)
        see_picture(page, 200)
    expect(page.locator("#picture video")).to_have_count(0)


def test_a_video_plays_from_a_bucket(
    opened: Open, start: Start, bucket: Bucket, portrait_file: Path, video: Video
) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)

    with opened(server.url, script=f"sessionStorage.setItem('key', '{FIRST}')") as page:
        asked: list[Request] = []
        page.on("request", lambda request: asked.extend([request]))
        job = send_speech(page, server, portrait_file)
        play_to_the_end(page, job, video)
        there = [request for request in asked if request.url.startswith(bucket.settings["s3_endpoint_url"])]
        files = {request.url.partition("?")[0].rpartition("/")[2].partition("-")[0] for request in there}
        assert files == {"init", "segment", "result"}
        assert not any("authorization" in request.all_headers() for request in there)


@pytest.mark.parametrize(("end", "said"), [("failed", "the encoder gave up"), ("canceled", "")])
def test_a_player_stops_when_the_job_does(
    opened: Open, server: Server, portrait_file: Path, video: Video, *, end: str, said: str
) -> None:
    with opened(server.url, but="the server responded with a status of") as page:  # to who waits for a segment
        job = send_speech(page, server, portrait_file)
        job.begin(video.init)
        job.add(0, video.segments[0])
        expect(page.locator("#picture video")).to_be_visible()
        if end == "failed":
            server.context.store.claims.fail(job.plan, Problem.of(ProblemType.INTERNAL, said))
        else:
            page.locator("#cancel").click()
            until(lambda: server.client.get(f"/v1/jobs/{job.job_id}").json()["cancel_requested"], "nobody cancels")
            server.context.store.claims.cancel(job.plan)
            expect(page.locator("#status")).to_have_text("Canceled.")
        expect(page.locator("#picture video")).to_have_count(0)
        expect(page.locator("#picture img")).to_be_visible()
        expect(page.locator("#notice")).to_contain_text(said)
        expect(page.locator("#work")).to_be_empty()


def test_where_the_stream_cannot_be_played_the_result_is_shown(
    opened: Open, server: Server, portrait_file: Path, video: Video
) -> None:
    with opened(
        server.url, script="delete window.MediaSource; HTMLMediaElement.prototype.canPlayType = () => ''"
    ) as page:
        job = send_speech(page, server, portrait_file)
        job.begin(video.init)
        for number, segment in enumerate(video.segments):
            job.add(number, segment)
        job.end(video.frames)
        expect(page.locator("#work progress")).to_be_visible()
        expect(page.locator("#picture video")).to_have_count(0)
        job.join(video.whole)
        expect(page.locator("#picture video")).to_be_visible()
        see(page, "video.duration > 1.8 && video.loop && video.src === document.querySelector('#download').href")


def test_where_sound_needs_a_hand_it_plays_without_and_a_button_brings_it(
    opened: Open, server: Server, portrait_file: Path, video: Video
) -> None:
    with opened(server.url) as page:
        job = send_speech(page, server, portrait_file)
        video.make(job)
        expect(page.locator("#download")).to_be_visible()
    unheard = """HTMLMediaElement.prototype.play = (play => function () {
      return this.muted ? play.call(this) : Promise.reject(new DOMException("no hand", "NotAllowedError"));
    })(HTMLMediaElement.prototype.play)"""
    with opened(f"{server.url}#job={job.job_id}", script=unheard) as page:
        see(page, "!video.paused && video.muted")
        page.get_by_role("button", name="Turn the sound on").click()
        see(page, "!video.paused && !video.muted")
        expect(page.get_by_role("button", name="Turn the sound on")).to_be_hidden()


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

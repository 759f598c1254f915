"""Whom the portrait follows, on the page: a photo, a video, the person before the camera."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from jobs.live import CAMERA
from tests.service.conftest import Server, photo
from tests.support.limits import VIDEO_LIMITS
from tests.support.live_lines import LiveLines
from tests.support.page_jobs import Video, choose_portrait, image_spec, job_of, see_picture, video_spec
from worker.media.video import open_video

pytestmark = pytest.mark.slow


def turn_on_the_camera(page: Page, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    page.locator("#tab-follow").click()
    page.locator("[value=camera]").check()
    page.locator("#camera-on").click()
    expect(page.locator(".self-view")).to_be_visible()


def test_a_photo_is_followed(page: Page, server: Server, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    page.locator("#tab-follow").click()
    expect(page.locator("#follow-submit")).to_be_disabled()
    page.locator("#driving").set_input_files(portrait_file)
    expect(page.locator("#follow-submit")).to_have_text("Make the picture")
    page.locator("#panel-follow .more summary").click()
    page.locator("#follow-expression_scale").fill("1.5")
    page.locator("#follow-submit").click()
    job = job_of(server, "images")
    spec = image_spec(server, job)
    assert spec.driving is not None
    assert (spec.options.driving_relative, spec.options.expression_scale, spec.options.pose_scale) == (False, 1.5, 1)
    server.succeed(job, photo(200, 100, "PNG"))
    see_picture(page, 200)
    expect(page.locator("#download")).to_have_attribute("download", "me-follow.png")


def test_a_video_is_followed_and_may_say_something_else(
    page: Page, server: Server, portrait_file: Path, video: Video
) -> None:
    film = portrait_file.with_name("film.mp4")
    film.write_bytes(video.whole)
    choose_portrait(page, portrait_file)
    page.locator("#tab-follow").click()
    page.locator("#driving").set_input_files(film)
    expect(page.locator("#follow-submit")).to_have_text("Make the video")
    expect(page.locator("#follow-says")).to_be_disabled()
    page.locator("#follow-submit").click()
    spec = video_spec(server, job_of(server, "videos"))
    assert spec.driving is not None
    assert spec.audio is None
    assert spec.options.driving_relative is True
    page.locator("#cancel").click()
    page.locator("#tab-speech").click()
    page.locator("#speech-sample").click()
    page.locator("#tab-follow").click()
    page.locator("#follow-says").check()
    page.locator("[value=absolute]").check()
    page.locator("#follow-submit").click()
    spec = video_spec(server, job_of(server, "videos", 2))
    assert spec.driving is not None
    assert spec.audio is not None
    assert spec.options.driving_relative is False


def test_a_picture_of_the_camera_is_followed(page: Page, server: Server, portrait_file: Path) -> None:
    turn_on_the_camera(page, portrait_file)
    page.locator("#take-picture").click()
    expect(page.locator(".driver img")).to_be_visible()
    page.locator("#follow-submit").click()
    driving = image_spec(server, job_of(server, "images")).driving
    assert driving is not None
    with Image.open(server.artifacts.path(driving.key)) as taken:
        assert taken.size == (640, 480)


def test_a_clip_of_the_camera_is_followed(page: Page, server: Server, portrait_file: Path) -> None:
    turn_on_the_camera(page, portrait_file)
    page.locator("#record-clip").click()
    expect(page.locator("#record-clip")).to_have_text("Stop")
    page.wait_for_timeout(1500)
    page.locator("#record-clip").click()
    expect(page.locator(".driver video")).to_be_visible()
    page.locator("#follow-submit").click()
    driving = video_spec(server, job_of(server, "videos")).driving
    assert driving is not None
    assert driving.media_type == "video/webm"
    frames = list(open_video(server.artifacts.path(driving.key), VIDEO_LIMITS).frames(25))
    assert len(frames) > 10


def test_the_portrait_follows_the_camera_live(page: Page, portrait_file: Path) -> None:
    live, said = LiveLines(page), page.locator(".webcam [role=status]")
    turn_on_the_camera(page, portrait_file)
    page.locator("#follow-me").click()
    live.wait(lambda: len(live.sent) > 10)
    live.seen = False
    expect(said).to_contain_text("No face in view.")
    live.seen = True
    expect(said).to_contain_text("neutral")
    page.locator("#recenter").click()
    live.wait(lambda: live.said[-1]["type"] == "recenter")
    page.locator("#tab-pose").click()
    live.wait(lambda: live.drives() == ["camera", "controls"])
    page.locator("#tab-follow").click()
    expect(page.locator("#camera-on")).to_have_text("Turn the camera on")
    sent = len(live.sent)
    page.wait_for_timeout(500)
    assert len(live.sent) == sent
    assert {picture[:1] for picture in live.sent} == {CAMERA}
    with Image.open(io.BytesIO(live.sent[0][1:])) as seen:
        assert (seen.format, seen.size) == ("JPEG", (640, 480))

"""A job of the page: it is sent, followed and shown, whatever comes between."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from jobs.problems import Problem, ProblemType
from jobs.schemas import Progress
from tests.page.conftest import Open
from tests.service.conftest import FIRST, Server, Start, photo
from tests.support.buckets import Bucket
from tests.support.page_jobs import (
    Video,
    choose_portrait,
    image_spec,
    job_of,
    making_pictures,
    see_picture,
    send_picture,
    send_speech,
    video_spec,
)
from tests.support.processes import until
from tests.support.proxies import under_path

pytestmark = pytest.mark.slow

NO_JOB = "0" * 32


def test_stages_and_the_time_left_are_told_then_the_result_has_the_focus(
    page: Page, server: Server, portrait_file: Path
) -> None:
    choose_portrait(page, portrait_file)
    job = send_picture(page, server)
    expect(page.locator("#cancel")).to_be_focused()
    expect(page.locator("#work")).to_contain_text("Waiting in line")
    claims = server.context.store.claims
    claim = server.claim(job)
    claims.progress(claim, Progress(stage="face"))
    expect(page.locator("#work")).to_contain_text("Finding the face")
    expect(page.locator("#status")).to_have_text("Finding the face")
    for done in range(1, 6):
        claims.progress(claim, Progress(stage="render", done=done, total=100))
        page.wait_for_timeout(400)
    expect(page.locator("#work")).to_contain_text(re.compile(r"Rendering *about (\d+ sec|\d+ min) left"))
    expect(page.locator("#work progress")).to_have_js_property("value", 0.05)
    claims.give_back(claim)
    server.succeed(job, photo(200, 100, "PNG"))
    see_picture(page, 200)
    expect(page.locator("#picture")).to_be_focused()
    expect(page.locator("#status")).to_have_text("It is done.")
    expect(page.locator("#work")).to_be_empty()
    expect(page.locator("#download")).to_have_attribute("download", "me-pose.png")
    assert image_spec(server, job).options.paste_back is True


def test_it_says_how_many_are_before(page: Page, server: Server, portrait_file: Path) -> None:
    for _ in range(2):
        portrait = {"portrait": portrait_file.read_bytes()}
        server.client.post("/v1/images", files=portrait, data={"motion": '{"controls": {}}'}).raise_for_status()
    choose_portrait(page, portrait_file)
    send_picture(page, server)
    expect(page.locator("#work")).to_contain_text("Waiting in line, 2 ahead of you")


def test_a_photo_that_has_expired_is_sent_again(opened: Open, server: Server, portrait_file: Path) -> None:
    uploads: list[str] = []
    with opened(server.url, but="422") as page, making_pictures(server):
        page.on("request", lambda request: uploads.append(request.url) if request.method == "POST" else None)
        choose_portrait(page, portrait_file)
        send_picture(page, server)
        see_picture(page, 200)
        send_picture(page, server, 2)
        expect(page.locator("#work")).to_be_empty()
        assert [url.rpartition("/")[2] for url in uploads].count("portraits") == 1
        (kept,) = server.client.get("/v1/portraits").json()["portraits"]
        server.client.delete(f"/v1/portraits/{kept['id']}").raise_for_status()
        page.locator("#make-picture").click()  # a live session may have found it out before
        job_of(server, "images", 3)
        expect(page.locator("#work")).to_be_empty()
        assert [url.rpartition("/")[2] for url in uploads].count("portraits") == 2


def test_a_failure_is_told_and_what_was_chosen_is_still_there(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#tab-speech").click()
    page.locator("#panel-speech .more summary").click()
    page.locator("#speech-still").check()
    job = send_speech(page, server, portrait_file)
    assert video_spec(server, job.job_id).options.still is True
    problem = Problem.of(ProblemType.NO_FACE, "no face in the portrait")
    server.context.store.claims.fail(server.claim(job.job_id), problem)
    expect(page.locator("#notice")).to_contain_text("no face in the portrait")
    expect(page.locator("#speech-still")).to_be_checked()
    expect(page.locator("#speech-submit")).to_be_enabled()
    page.locator("#speech-submit").click()
    again = video_spec(server, job_of(server, "videos", 2))
    assert again.options.still is True
    assert again.audio is not None
    expect(page.locator("#notice")).to_be_empty()


def test_what_waits_can_be_canceled(page: Page, server: Server, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    job = send_picture(page, server)
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_have_text("Canceled.")
    expect(page.locator("#work")).to_be_empty()
    expect(page.locator("#notice")).to_be_empty()
    expect(page.locator("#make-picture")).to_be_focused()
    assert server.client.get(f"/v1/jobs/{job}").json()["status"] == "canceled"


def test_what_runs_is_found_again_after_a_reload(
    opened: Open, server: Server, portrait_file: Path, video: Video
) -> None:
    with opened(server.url) as page:
        job = send_speech(page, server, portrait_file)
        job.begin(video.init)
        expect(page).to_have_url(re.compile(f"job={job.job_id}"))
        page.reload()
        expect(page.locator("#cancel")).to_be_visible()
        for number, segment in enumerate(video.segments):
            job.add(number, segment)
        job.end(video.frames)
        job.join(video.whole)
        expect(page.locator("#download")).to_be_visible()
        seed = video_spec(server, job.job_id).options.seed
        expect(page.locator("#download")).to_have_attribute("download", f"me-speech-take-{seed}.mp4")
        page.reload()
        expect(page.locator("#picture video")).to_be_visible()
        expect(page.locator("#download")).to_be_visible()


def test_another_take_of_what_was_made_before_the_reload(
    page: Page, server: Server, portrait_file: Path, video: Video
) -> None:
    job = send_speech(page, server, portrait_file)
    video.make(job)
    expect(page.locator("#download")).to_be_visible()
    page.reload()
    expect(page.locator("#download")).to_be_visible()
    page.get_by_role("button", name="Another take").click()
    first, second = video_spec(server, job.job_id), video_spec(server, job_of(server, "videos", 2))
    assert first.audio is not None
    assert second.audio is not None
    assert second.audio.sha256 == first.audio.sha256
    assert second.options.seed != first.options.seed
    assert second.options.model_copy(update={"seed": first.options.seed}) == first.options


def test_the_same_as_another_file(page: Page, server: Server, portrait_file: Path, video: Video) -> None:
    job = send_speech(page, server, portrait_file)
    video.make(job)
    page.locator("#result-format").select_option("webm")
    first, second = video_spec(server, job.job_id), video_spec(server, job_of(server, "videos", 2))
    assert second.options == first.options.model_copy(update={"format": "webm"})


def test_a_job_that_is_gone_is_told(opened: Open, server: Server) -> None:
    with opened(f"{server.url}#job={NO_JOB}", but="404") as page:
        expect(page.locator("#notice")).to_contain_text("there is no job")
        expect(page.locator("#work")).to_be_empty()


def test_a_broken_line_is_taken_up_where_it_broke(opened: Open, server: Server, portrait_file: Path) -> None:
    asked: list[str | None] = []

    def cut(route: Route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        if len(asked) == 1:
            route.fulfill(body='id: 7-0\nevent: progress\ndata: {"stage": "face", "done": 0, "total": null}\n\n')
        elif len(asked) == 2:
            route.abort()
        else:
            route.continue_()

    with opened(server.url, but="ERR_FAILED") as page:
        page.route("**/events", cut)
        choose_portrait(page, portrait_file)
        job = send_picture(page, server)
        expect(page.locator("#work")).to_contain_text("Finding the face")
        expect(page.locator("#work")).to_contain_text("Connection lost, trying again")
        until(lambda: len(asked) == 3 or page.wait_for_timeout(50), "it is not taken up")
        assert asked == [None, "7-0", "7-0"]
        server.succeed(job, photo(200, 100, "PNG"))
        see_picture(page, 200)


def test_a_result_comes_from_a_bucket_and_the_key_does_not_go_there(
    opened: Open, start: Start, bucket: Bucket, portrait_file: Path
) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)

    with opened(server.url, script=f"sessionStorage.setItem('key', '{FIRST}')") as page:
        asked: list[Request] = []
        page.on("request", lambda request: asked.extend([request]))  # it takes no builtin
        choose_portrait(page, portrait_file)
        with making_pictures(server):
            send_picture(page, server)
            see_picture(page, 200)
        there = [request for request in asked if request.url.startswith(bucket.settings["s3_endpoint_url"])]
        assert {request.method for request in there} == {"GET"}  # with a key, the browser would ask for leave first
        assert not any("authorization" in request.all_headers() for request in there)
        assert any("authorization" in request.all_headers() for request in asked)


def test_it_works_under_the_path_of_a_proxy(opened: Open, start: Start, portrait_file: Path) -> None:
    server = start(allow_open=True)  # which knows nothing of the path

    with under_path(server.url.rstrip("/"), "/pir") as url, opened(f"{url}/") as page, making_pictures(server):
        choose_portrait(page, portrait_file)
        send_picture(page, server)
        see_picture(page, 200)

"""Earlier results: seen, gone back to, deleted."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.service.conftest import FIRST, Server, Start, photo
from tests.service.routes.test_create import WAV, YAW
from tests.support.buckets import Bucket
from tests.support.pages import known, wait_for_width
from tests.support.processes import until
from tests.support.streamed import Streamed
from tests.support.streams import stream

pytestmark = pytest.mark.slow

KEY = {"X-API-Key": FIRST}
SIGNED_IN = f"sessionStorage.setItem('key', '{FIRST}')"


def create(server: Server, call: str = "images", **fields: str) -> str:
    """Send a job; its id."""
    files = {"portrait": photo(), **({"audio": WAV} if call == "videos" else {})}
    data = {**({"motion": YAW} if call == "images" else {}), **fields}
    answer = server.client.post(f"/v1/{call}", files=files, data=data, headers=KEY)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def drawn(page: Page, job: str) -> None:
    """Wait for a thumbnail."""
    canvas = page.locator(f"[data-job='{job}'] canvas")
    canvas.scroll_into_view_if_needed()  # they are fetched when they are to be seen
    until(lambda: canvas.evaluate("canvas => canvas.width > 1"), f"there is no thumbnail of {job}")


def make_video(server: Server, folder: Path, job: str) -> None:
    """Make a grey video of one segment."""
    made = stream(folder, [np.full((72, 64), 128, np.uint8)] * 10)
    streamed = Streamed(server.context, job)
    streamed.begin(made.init.read_bytes())
    streamed.add(0, made.fragments[0].read_bytes(), frames=10)
    streamed.end(10)
    streamed.join(made.bytes())


def test_what_was_made_is_seen_again(page: Page, server: Server, tmp_path: Path) -> None:
    expect(page.locator("#history")).to_be_hidden()
    image, speech, failed, waiting = create(server), create(server, "videos"), create(server), create(server)
    spoken = create(server, "videos", metadata='{"what": "speech"}')
    server.succeed(image, photo(200, 100, "PNG"))
    make_video(server, tmp_path, speech)
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))
    server.client.post(f"/v1/jobs/{spoken}/cancel")
    page.reload()
    entries = page.locator("#history li")
    expect(entries).to_have_count(5)
    drawn(page, image)
    drawn(page, speech)
    said = [entry.text_content() or "" for entry in entries.all()]
    for text, words in zip(said, ("Speech", "Picture", "Picture", "Video", "Picture"), strict=True):
        assert words in text
    assert "Canceled" in said[0]
    assert "Waiting" in said[1]
    assert "No face was found" in said[2]
    page.locator(f"[data-job='{image}'] button").first.click()
    wait_for_width(page, 200)
    expect(page.locator(f"[data-job='{image}'] button").first).to_have_attribute("aria-current", "true")
    assert f"job={image}" in page.url
    server.client.delete(f"/v1/jobs/{waiting}")


def test_a_result_brings_its_portrait(page: Page, server: Server) -> None:
    data = photo(320, 240)
    kept = server.client.post("/v1/portraits", files={"portrait": data}).json()["id"]
    form = {"portrait_id": kept, "motion": YAW, "metadata": '{"portrait": "anna.jpg"}'}
    job = server.client.post("/v1/images", files={name: (None, text) for name, text in form.items()}).json()
    server.succeed(job["id"], photo(200, 100, "PNG"))
    page.reload()
    page.locator(f"[data-job='{job['id']}'] button").first.click()
    wait_for_width(page, 200)
    assert known(page, "[state.get('portrait').id, state.get('portrait').name]") == [kept, "anna.jpg"]


def test_a_result_is_deleted_when_that_is_said_twice(page: Page, server: Server) -> None:
    first, second = create(server), create(server)
    for job in (first, second):
        server.succeed(job, photo(200, 100, "PNG"))
    page.reload()
    remove = page.locator(f"[data-job='{first}'] .remove")
    remove.click()
    expect(remove).to_have_text("Delete?")
    page.locator(f"[data-job='{second}'] button").first.focus()
    expect(remove).to_have_text("×")
    remove.click()
    remove.click()
    expect(page.locator("#history li")).to_have_count(1)
    assert server.client.get(f"/v1/jobs/{first}").status_code == 404
    assert server.client.get(f"/v1/jobs/{second}").status_code == 200


def test_thumbnails_come_with_a_key_from_the_bucket(opened: Open, start: Start, bucket: Bucket, tmp_path: Path) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)
    image, video = create(server), create(server, "videos")
    server.succeed(image, photo(200, 100, "PNG"))
    make_video(server, tmp_path, video)
    with opened(server.url, script=SIGNED_IN) as page:
        drawn(page, image)
        drawn(page, video)


def test_a_result_that_is_gone_leaves_no_picture(opened: Open, server: Server) -> None:
    job = create(server)
    server.succeed(job, photo(200, 100, "PNG"))
    server.artifacts.delete_folder(job)
    with opened(server.url, but="status of 410") as page:
        expect(page.locator(f"[data-job='{job}'] canvas")).to_have_class("none")


def test_a_job_comes_to_the_list_when_it_ends(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("#make-picture").click()
    until(lambda: server.queued_messages("images"), "nothing is sent")
    (job,) = server.queued_messages("images")
    server.succeed(job, photo(200, 100, "PNG"))
    drawn(page, job)

"""The portrait: shown at once, sent once, found again after a reload, photographed, and one of several people."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from service.routes.pages import SAMPLES
from tests.page.conftest import Open
from tests.service.conftest import Server, photo
from tests.support.pages import known, wait_until_known

pytestmark = pytest.mark.slow

STREAMS = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async wanted => (window.stream = await ask(wanted));
"""


def kept(server: Server) -> Any:
    """The portraits that the service keeps."""
    return server.client.get("/v1/portraits").json()["portraits"]


def wait_until_kept(page: Page) -> None:
    wait_until_known(page, "state.get('portrait')?.id")


def face(page: Page) -> Any:
    return known(page, "state.get('options').face")


def shown_size(page: Page) -> list[int]:
    image = page.locator("#picture img").last
    expect(image).to_be_visible()
    return list(image.evaluate("image => [image.naturalWidth, image.naturalHeight]"))


def test_the_sample_is_one_click_away(page: Page, server: Server) -> None:
    page.get_by_role("button", name="Try it with our portrait").click()
    expect(page.locator("#picture img")).to_be_visible()
    wait_until_kept(page)
    (portrait,) = kept(server)
    assert portrait["bytes"] == (SAMPLES / "portrait.jpg").stat().st_size


def test_a_photo_is_sent_once_and_found_again_after_a_reload(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#portrait").set_input_files(portrait_file)
    wait_until_kept(page)
    page.reload()
    assert shown_size(page) == [320, 240]
    (portrait,) = kept(server)
    assert known(page, "[state.get('portrait').id, state.get('portrait').name]") == [portrait["id"], "me.jpg"]


def test_a_photo_that_is_kept_no_more_leaves_an_empty_stage(opened: Open, server: Server, portrait_file: Path) -> None:
    with opened(server.url, but="status of 404") as page:
        page.locator("#portrait").set_input_files(portrait_file)
        wait_until_kept(page)
        server.client.delete(kept(server)[0]["urls"]["self"])
        page.reload()
        expect(page.locator("#portrait")).to_be_attached()
        expect(page.get_by_role("button", name="Try it with our portrait")).to_be_visible()
        expect(page.locator("#notice")).to_be_empty()


def test_a_photo_that_has_expired_is_sent_again(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#portrait").set_input_files(portrait_file)
    wait_until_kept(page)
    (first,) = kept(server)
    server.client.delete(first["urls"]["self"])
    again = page.evaluate(
        """async () => {
          const { forgetPortraitId, portraitId } = await import("./web/page/portrait.js");
          forgetPortraitId();
          return portraitId();
        }"""
    )
    assert [portrait["id"] for portrait in kept(server)] == [again]
    assert again != first["id"]


def test_a_photo_lies_as_it_was_taken(page: Page) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.open(io.BytesIO(photo(320, 240))).save(file, "JPEG", exif=exif)
    page.locator("#portrait").set_input_files(FilePayload(name="me.jpg", mimeType="", buffer=file.getvalue()))
    assert shown_size(page) == [240, 320]


def test_of_two_photos_the_later_one_stays(page: Page, server: Server) -> None:
    files = [FilePayload(name=f"{side}.png", mimeType="", buffer=photo(side, side, "PNG")) for side in (100, 200)]
    for file in files:
        page.locator("#portrait").set_input_files(file)
    wait_until_known(page, "state.get('portrait')?.id && state.get('portrait').name === '200.png'")
    chosen = known(page, "state.get('portrait').id")
    assert [portrait["width"] for portrait in kept(server) if portrait["id"] == chosen] == [200]


def test_a_photo_is_taken_by_the_camera(opened: Open, server: Server) -> None:
    with opened(server.url, script=STREAMS) as page:
        page.get_by_role("button", name="Take a photo").click()
        dialog = page.get_by_role("dialog", name="Take a photo")
        expect(dialog.locator("video")).to_be_visible()
        dialog.get_by_label("Wait 3 seconds first").check()
        dialog.get_by_role("button", name="Take it").click()
        expect(dialog.get_by_role("status")).to_have_text("3")
        expect(dialog).to_have_count(0)
        wait_until_kept(page)
        (portrait,) = kept(server)
        assert (portrait["media_type"], portrait["width"] >= 640) == ("image/jpeg", True)
        assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]


def test_no_photo_is_taken_by_who_thinks_better_of_it(opened: Open, server: Server) -> None:
    with opened(server.url, script=STREAMS) as page:
        page.get_by_role("button", name="Take a photo").click()
        expect(page.get_by_role("dialog").locator("video")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("dialog")).to_have_count(0)  # gone, which it is a moment after it is no more seen
        assert page.evaluate("stream.getTracks().map(track => track.readyState)") == ["ended"]
        assert known(page, "state.get('portrait')") is None


def test_another_person_of_a_photo_can_be_chosen(page: Page, portrait_file: Path) -> None:
    def another() -> None:
        page.evaluate("import('./web/page/portrait.js').then(({ anotherPerson }) => anotherPerson())")

    page.locator("#portrait").set_input_files(portrait_file)
    wait_until_kept(page)
    another()
    another()
    assert face(page) == 2
    expect(page.locator("#status")).to_have_text("Person 3 of the photo")
    problem = "{ type: 'no-such-face', status: 422, detail: 'face 2 was asked for, but the portrait has 2' }"
    page.evaluate(f"import('./web/page/notices.js').then(({{ tellError }}) => tellError({problem}))")
    page.get_by_role("button", name="The largest face").click()
    assert face(page) is None
    another()
    page.locator("#portrait").set_input_files(FilePayload(name="b.png", mimeType="", buffer=photo(form="PNG")))
    wait_until_known(page, "state.get('portrait').name === 'b.png'")
    assert face(page) is None

"""Files that are chosen, dropped and pasted: the wrong ones are refused at once, the right ones find their place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.page.conftest import Open
from tests.service.conftest import Start, photo
from tests.service.routes.test_create import MP4, WAV
from tests.support.heif import heic
from tests.support.pages import carry, drop, known, paste, wait_until_known

pytestmark = pytest.mark.slow

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
JPEG, PNG = photo(), photo(form="PNG")


def portrait(page: Page) -> Any:
    """The name of the portrait."""
    return known(page, "state.get('portrait')?.name")


def choose(page: Page, box: str, name: str, data: bytes) -> None:
    page.locator(f"#{box}").set_input_files(FilePayload(name=name, mimeType="", buffer=data))


REFUSED = {
    "drawing.svg": (SVG, "drawing.svg is an image (SVG). Choose a photo: JPEG, PNG, WebP, HEIC, AVIF."),
    "letter.jpg": (b"Dear Anna,\n", "letter.jpg is a text. Choose a photo: JPEG"),
    "moving.jpg": (b"GIF89a" + bytes(80), "moving.jpg is an image (GIF). Choose a photo: JPEG"),
    "paper.pdf": (b"%PDF-1.7\n\0", "paper.pdf is a file of the kind PDF. Choose a photo: JPEG"),
    "nothing.png": (b"", "nothing.png is empty."),
    "speech.wav": (WAV, "speech.wav is an audio file (WAV). Choose a photo: JPEG"),
    "dance.mp4": (MP4, "dance.mp4 is a video (MP4). Choose a photo: JPEG"),
}


def test_files_that_are_no_photos_are_refused_in_words(page: Page, tmp_path: Path) -> None:
    def refused(words: str) -> None:
        expect(page.locator(".chooser [role=alert]")).to_contain_text(words)
        assert portrait(page) is None

    for name, (data, words) in REFUSED.items():
        choose(page, "portrait", name, data)
        refused(words)
    with (large := tmp_path / "large.jpg").open("wb") as file:
        file.write(JPEG)
        file.truncate(40 << 20)
    page.locator("#portrait").set_input_files(large)
    refused("large.jpg has 40 MB. Up to 20 MB are allowed.")
    choose(page, "portrait", "me.jpg", JPEG)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#notice")).to_be_empty()


def test_other_boxes_say_what_they_want(page: Page) -> None:
    for tab, box, name, data, words in (
        ("speech", "audio", "me.png", PNG, "me.png is an image (PNG). Choose an audio file: WAV, FLAC"),
        ("follow", "driving", "speech.wav", WAV, "speech.wav is an audio file (WAV). Choose a photo or a video: JPEG"),
    ):
        page.locator(f"#tab-{tab}").click()
        choose(page, box, name, data)
        expect(page.get_by_text(words)).to_be_visible()


def test_what_is_wrong_here_is_offered_where_it_is_right(page: Page) -> None:
    choose(page, "portrait", "dance.mp4", MP4)
    page.get_by_role("button", name="Let the portrait follow it").click()
    expect(page.locator("#tab-follow")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel-follow")).to_contain_text("dance.mp4")


def test_a_photo_of_too_many_pixels_is_refused(opened: Open, start: Start) -> None:
    with opened(start(max_pixels=2_000_000).url) as page:
        choose(page, "portrait", "me.jpg", photo(3000, 2000))
        expect(page.locator(".chooser [role=alert]")).to_have_text(
            "me.jpg has 6 million pixels. Up to 2 million are allowed."
        )


def test_a_photo_that_the_browser_cannot_show_is_taken_by_its_name(page: Page) -> None:
    choose(page, "portrait", "me.heic", heic(np.zeros((64, 64, 3), np.uint8)))
    expect(page.locator("#picture")).to_contain_text("me.heic")
    wait_until_known(page, "state.get('portrait')?.id")


def test_the_same_file_can_be_chosen_again(page: Page) -> None:
    choose(page, "portrait", "a.jpg", JPEG)
    expect(page.locator("#picture img")).to_be_visible()
    drop(page.locator("#picture"), PNG, "b.png")
    wait_until_known(page, "state.get('portrait').name === 'b.png'")
    # A browser tells of a choice only where it is another than before
    assert page.locator("#portrait").evaluate("input => input.files.length") == 0
    choose(page, "portrait", "a.jpg", JPEG)
    wait_until_known(page, "state.get('portrait').name === 'a.jpg'")


def test_drops_beside_boxes_stay_in_the_page_and_find_their_place(page: Page) -> None:
    body = page.locator("body")
    drop(body, JPEG, "me.jpg")
    expect(page.locator("#picture img")).to_be_visible()
    drop(body, WAV, "speech.wav")
    expect(page.locator("#panel-speech")).to_contain_text("speech.wav")
    expect(page.locator("#tab-speech")).to_have_attribute("aria-selected", "true")
    drop(body, MP4, "dance.mp4")
    expect(page.locator("#panel-follow")).to_contain_text("dance.mp4")
    drop(body, SVG, "drawing.svg")
    expect(page.locator("#notice")).to_contain_text("drawing.svg is an image (SVG)")
    assert portrait(page) == "me.jpg"


def test_a_picture_dropped_on_the_driver_is_followed(page: Page) -> None:
    page.locator("#tab-follow").click()
    drop(page.locator("#panel-follow .picker").first, PNG, "laughing.png")
    expect(page.locator("#panel-follow")).to_contain_text("laughing.png")
    assert portrait(page) is None


def test_the_page_shows_that_it_takes_what_hangs_over_it(page: Page) -> None:
    carried = {"dataTransfer": carry(page, JPEG, "me.jpg")}
    root = page.locator("html")
    page.locator("main").dispatch_event("dragenter", carried)
    page.locator("#picture").dispatch_event("dragenter", carried)
    page.locator("main").dispatch_event("dragleave", carried)
    expect(root).to_have_class("over")
    page.locator("#picture").dispatch_event("dragleave", carried)
    expect(root).not_to_have_class("over")


def test_a_pasted_picture_is_the_portrait(page: Page) -> None:
    paste(page, PNG, "image.png", "image/png")
    expect(page.locator("#picture img")).to_be_visible()
    assert portrait(page) == "image.png"

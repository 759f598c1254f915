"""The stage in a real browser: where things stand, what is shown, and what was before."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FloatRect, Page, expect

from jobs.problems import ProblemType
from tests.page.conftest import Open
from tests.service.conftest import Server, Start, photo
from tests.support.live_lines import LiveLines
from tests.support.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture
def server(full_server: Server) -> Server:
    return full_server


SCREENS = {
    "desktop": (1280, 800),
    "phone": (390, 844),
    "small phone": (360, 640),
    "on its side": (844, 390),
    "wide": (1920, 1080),
}


def screen(name: str) -> dict[str, Any]:
    width, height = SCREENS[name]
    touch = name not in ("desktop", "wide")
    return {"viewport": {"width": width, "height": height}, "has_touch": touch, "is_mobile": touch}


def box(page: Page, selector: str) -> FloatRect:
    found = page.locator(selector).bounding_box()
    assert found is not None, f"{selector} is not seen"
    return found


def shows(page: Page, kind: str) -> None:
    expect(page.locator("#stage")).to_have_attribute("data-shows", kind)


def color(page: Page, selector: str) -> tuple[int, ...]:
    """The colour amid a picture as it was made."""
    found = page.locator(selector).evaluate(
        """async element => {
          const bitmap = await createImageBitmap(element);
          const canvas = new OffscreenCanvas(1, 1), drawing = canvas.getContext("2d");
          drawing.drawImage(bitmap, 0, 0, 1, 1);
          return [...drawing.getImageData(0, 0, 1, 1).data.slice(0, 3)];
        }"""
    )
    return tuple(found)


def make_picture(page: Page, server: Server, data: bytes | None = None) -> None:
    """Ask for the picture of the pose, and play the worker that makes it."""
    before = len(server.queued_messages("images"))

    def work() -> None:
        until(lambda: len(server.queued_messages("images")) > before, "nothing is sent")
        server.succeed(server.queued_messages("images")[-1], data or photo(320, 240, "PNG"))

    worker = threading.Thread(target=work)
    worker.start()
    page.locator("#make-picture").click()
    shows(page, "picture")
    worker.join()


@pytest.mark.parametrize("name", SCREENS)
def test_all_takes_place_in_one_box_that_is_seen(opened: Open, server: Server, portrait_file: Path, name: str) -> None:
    width, height = SCREENS[name]
    with opened(server.url, **screen(name)) as page:
        LiveLines(page)
        expect(page.locator("#empty")).to_be_visible()
        where = box(page, "#frame")
        assert where["y"] + where["height"] <= height
        page.locator("#portrait").set_input_files(portrait_file)
        shows(page, "portrait")
        expect(page.locator("[data-control]")).to_have_count(17)
        assert box(page, "#frame") == where
        panel = box(page, "#panel")
        page.locator("[data-preset=left]").evaluate("button => button.click()")  # without scrolling to it
        shows(page, "live")
        assert box(page, "#frame") == where
        make = box(page, "#make-picture")
        assert make["y"] + make["height"] <= height
        make_picture(page, server)
        assert box(page, "#frame") == where
        assert box(page, "#panel")["y"] == panel["y"]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("scrollY") == 0


@pytest.mark.parametrize("name", ["phone", "small phone"])
def test_on_phones_the_sliders_go_by_under_the_picture(
    opened: Open, server: Server, portrait_file: Path, name: str
) -> None:
    with opened(server.url, **screen(name)) as page:
        LiveLines(page)
        page.locator("#portrait").set_input_files(portrait_file)
        shows(page, "portrait")
        expect(page.locator("[data-control]")).to_have_count(17)
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        assert box(page, "#panel-pose")["y"] < 0
        where = box(page, "#frame")
        assert where["y"] == 0
        assert where["height"] <= 0.45 * SCREENS[name][1]


@pytest.mark.parametrize("tab", ["pose", "speech", "follow"])
def test_on_phones_what_makes_the_result_stays_in_sight(opened: Open, server: Server, tab: str) -> None:
    with opened(server.url, **screen("phone")) as page:
        page.locator(f"#tab-{tab}").tap()
        expect(page.locator(f"#panel-{tab} .actions .main")).to_be_in_viewport(ratio=1)


def test_targets_on_a_phone_are_large_enough(opened: Open, server: Server, portrait_file: Path) -> None:
    with opened(server.url, **screen("phone")) as page:
        LiveLines(page)
        page.locator("#portrait").set_input_files(portrait_file)
        shows(page, "portrait")
        expect(page.locator("[data-control]")).to_have_count(17)
        for target in page.locator("#panel-pose :is(button, input, summary):visible").all():
            found = target.bounding_box()
            assert found is not None
            assert min(found["width"], found["height"]) >= 24
            if target.evaluate("element => !element.matches('.reset')"):
                assert found["height"] >= 44


def test_live_pictures_take_the_portraits_place_when_it_is_moved(
    page: Page, server: Server, portrait_file: Path
) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#live-badge")).to_have_text("Live")  # before anything is moved
    shows(page, "portrait")
    live.wait(lambda: live.controls() == [{}])
    assert [start["options"] for start in live.starts()] == [{"size": 512, "face": None}]
    page.locator("[data-control=yaw]").fill("12")
    shows(page, "live")
    live.wait(lambda: live.controls()[-1] == {"yaw": 12})
    red, _, blue = color(page, "#picture canvas")
    assert blue > 200 > red
    expect(page.locator("#stage[data-sent='2'][data-shown='2']")).to_be_visible()  # the face at rest was the first
    assert int(page.locator("#stage").get_attribute("data-latency-ms") or "") < 60_000
    assert float(page.locator("#stage").get_attribute("data-pictures-per-second") or "") > 0
    make_picture(page, server)
    expect(page.locator("#picture canvas")).to_have_count(0)  # it has faded
    page.locator("[data-control=yaw]").fill("20")
    shows(page, "live")
    expect(page).not_to_have_url(re.compile("job="))  # the result is no longer what is shown
    expect(page.locator("#picture .layer")).to_have_count(1)
    expect(page.locator("#picture canvas")).to_have_css("opacity", "1")
    page.go_back()
    shows(page, "picture")
    page.go_forward()
    shows(page, "live")
    expect(page.locator("#picture .layer")).to_have_count(1)
    expect(page.locator("#picture canvas")).to_have_css("opacity", "1")


def test_history_stands_beside_the_stage_however_far_it_is_scrolled(
    opened: Open, server: Server, portrait_file: Path
) -> None:
    with opened(server.url, **screen("desktop")) as page:
        LiveLines(page)
        page.locator("#portrait").set_input_files(portrait_file)
        make_picture(page, server)
        expect(page.locator("#history")).to_be_visible()
        page.locator("#history").evaluate("element => { element.style.minHeight = '1500px'; }")
        page.evaluate("scrollTo(0, 1e6)")
        stage = box(page, "#stage")
        assert stage["y"] >= 0
        assert box(page, "#history")["x"] >= stage["x"] + stage["width"]


def test_what_was_before_is_seen_while_a_key_or_a_button_is_held(page: Page, portrait_file: Path) -> None:
    LiveLines(page)
    before, button = page.locator("img.before"), page.locator("#before")
    expect(button).to_be_hidden()
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("[data-control=yaw]").fill("12")
    shows(page, "live")
    expect(before).to_be_hidden()
    page.keyboard.down("b")
    expect(before).to_be_visible()
    red, _, blue = color(page, "img.before")
    assert red > 200 > blue  # the same crop at rest
    page.keyboard.up("b")
    expect(before).to_be_hidden()
    button.hover()
    page.mouse.down()
    expect(before).to_be_visible()
    page.mouse.up()
    expect(before).to_be_hidden()
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(before).to_be_visible()
    page.keyboard.press("Enter")
    expect(before).to_be_hidden()


def test_a_handle_is_drawn_between_before_and_after(page: Page, server: Server, portrait_file: Path) -> None:
    LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("[data-control=yaw]").fill("12")
    make_picture(page, server)
    handle, before = page.locator("#handle"), page.locator("img.before")
    expect(handle).to_have_attribute("aria-valuenow", "0")
    where = box(page, "#handle")
    frame = box(page, "#frame")
    assert where["x"] >= frame["x"]
    page.mouse.move(where["x"] + where["width"] / 2, where["y"] + 300)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] / 2, where["y"] + 300)
    page.mouse.up()
    expect(handle).to_have_attribute("aria-valuenow", "50")
    expect(before).to_be_visible()
    expect(page.locator("[data-control=yaw]")).to_have_value("12")  # the head was not turned with it
    assert before.evaluate("image => image.src === document.querySelector('#behind').src")  # the whole photo
    handle.press("Home")
    expect(before).to_be_hidden()
    handle.press("ArrowRight")
    expect(handle).to_have_attribute("aria-valuenow", "5")


def test_keys_move_between_the_tabs(page: Page) -> None:
    def chosen(name: str) -> None:
        expect(page.locator(f"#tab-{name}")).to_be_focused()
        expect(page.locator(f"#tab-{name}")).to_have_attribute("aria-selected", "true")
        expect(page.locator("[role=tabpanel]:visible")).to_have_id(f"panel-{name}")

    expect(page.locator("#tab-pose")).to_have_attribute("aria-selected", "true")
    page.locator("#tab-pose").focus()
    for key, name in (
        *(("ArrowRight", name) for name in ("speech", "follow", "pose")),
        *(("ArrowLeft", "follow"), ("Home", "pose"), ("End", "follow")),
    ):
        page.keyboard.press(key)
        chosen(name)
    assert page.locator("[role=tab][tabindex='0']").count() == 1


def test_a_line_that_breaks_is_opened_again_with_the_pose(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("[data-control=yaw]").fill("12")
    shows(page, "live")
    live.end(1001)
    live.wait(lambda: len(live.starts()) == 2 and live.controls()[-1] == {"yaw": 12})
    expect(page.locator("#live-badge")).to_have_text("Live")
    expect(page.locator("#notice")).to_be_empty()


def test_a_session_that_ended_idle_comes_back_with_the_next_movement(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#live-badge")).to_have_text("Live")
    live.end(1008, ProblemType.TOO_SLOW)
    expect(page.locator("#live-badge")).to_be_hidden()
    expect(page.locator("#notice")).to_be_empty()
    page.locator("[data-control=yaw]").fill("12")
    shows(page, "live")
    assert len(live.starts()) == 2


def test_a_portrait_that_is_no_longer_kept_is_sent_again(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#live-badge")).to_have_text("Live")
    live.refuse = ProblemType.NO_SUCH_PORTRAIT
    live.end(1001)
    live.wait(lambda: len(live.starts()) == 2)
    live.refuse = None
    live.wait(lambda: len(live.starts()) == 3)
    first, second, third = (start["portrait_id"] for start in live.starts())
    assert first == second != third
    expect(page.locator("#live-badge")).to_have_text("Live")


def test_no_live_picture_stays_that_the_sliders_have_moved_on_from(
    opened: Open, server: Server, portrait_file: Path
) -> None:
    with opened(server.url, reduced_motion="reduce") as page:
        live = LiveLines(page)
        page.locator("#portrait").set_input_files(portrait_file)
        page.locator("[data-control=yaw]").fill("12")
        shows(page, "live")
        live.wait(lambda: live.controls()[-1] == {"yaw": 12})
        live.end(1008, ProblemType.TOO_SLOW)
        expect(page.locator("#live-badge")).to_be_hidden()
        page.locator("#pose-reset").click()
        live.wait(lambda: len(live.starts()) == 2 and live.controls()[-1] == {})
        until(lambda: color(page, "#picture canvas")[0] > 200 or page.wait_for_timeout(50), "the head stays turned")


def test_pictures_of_the_line_after_a_job_count_for_who_follows(
    page: Page, server: Server, portrait_file: Path
) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    live.wait(lambda: live.controls() == [{}])
    make_picture(page, server)
    live.wait(lambda: len(live.starts()) == 2 and live.controls() == [{}, {}])


def test_without_live_pictures_the_picture_follows_once_one_was_made(
    page: Page, server: Server, portrait_file: Path
) -> None:
    LiveLines(page, refuse=ProblemType.LIVE_UNAVAILABLE)
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#live-note")).to_contain_text("busy right now")
    page.locator("[data-control=yaw]").fill("12")
    shows(page, "portrait")
    assert server.queued_messages("images") == []
    make_picture(page, server)
    page.locator("[data-control=yaw]").fill("20")
    page.locator("[data-control=yaw]").fill("24")
    until(lambda: len(server.queued_messages("images")) == 2, "the picture does not follow")
    spec: Any = server.spec(server.queued_messages("images")[-1])
    assert spec.motion.controls == {"yaw": 24.0}


def test_where_there_are_no_live_sessions_none_is_tried(opened: Open, start: Start, portrait_file: Path) -> None:
    with opened(start(allow_open=True, live_workers=0).url) as page:
        page.locator("#portrait").set_input_files(portrait_file)
        expect(page.locator("#live-note")).to_contain_text("This service has no live preview.")
        expect(page.locator("#live-badge")).to_be_hidden()
        page.locator("#tab-speech").click()
        page.locator("[value=microphone]").check()
        expect(page.locator("#speak-along")).to_be_hidden()

"""The page, and the example of docs/live.md for browsers, with the real service: a front-end, Redis and one worker,
whose pictures mean nothing but change.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.page.conftest import FAKE_DEVICES, Open, launch
from tests.page.test_signin import REFUSED, enter
from tests.service.conftest import FIRST
from tests.support.documents import example
from tests.support.live_page import NEAR, NOBODY, Lines, difference, write_film
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S, PORTRAIT, Service
from tests.support.tiny_weights import tiny_service

pytestmark = pytest.mark.slow

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
AWAY = "ERR_CONNECTION_REFUSED"  # what a browser complains of while there is no front-end
SETTINGS = {"PIRENDERER_LIVE_WAIT_S": "120"}  # a busy machine loads models for long

# What the example in the document takes as given
GIVEN = """
const file = await (await fetch("web/samples/portrait.jpg")).blob();
const add = (tag, properties) => document.body.appendChild(Object.assign(document.createElement(tag), properties));
const image = add("img", { id: "moved" });
const slider = add("input", { id: "mover", type: "range", min: -45, max: 45, value: 0 });
"""

Begin = Callable[..., AbstractContextManager[Lines]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with tiny_service(tmp_path_factory.mktemp("service"), SETTINGS) as service:
        service.wait_for_workers()
        yield service


@contextmanager
def front_end(service: Service, **settings: str) -> Iterator[None]:
    """Another front-end for a while, with settings of its own."""
    stop_front_end(service)
    start_front_end(service, **settings)
    try:
        yield
    finally:
        stop_front_end(service)
        start_front_end(service)


def stop_front_end(service: Service) -> None:
    service.processes["api"].terminate()
    service.processes["api"].wait(PATIENCE_S)


def start_front_end(service: Service, **settings: str) -> None:
    weights = {"PIRENDERER_WEIGHTS_DIR": str(service.folder / "weights")}
    service.start("api", environment={**weights, **SETTINGS, **settings})


@pytest.fixture(scope="module")
def browser(voice: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, with a voice at its microphone and a person who comes nearer and goes before its camera."""
    astronaut = ROOT / "tests" / "samples" / "astronaut.jpg"
    film = write_film(tmp_path_factory.mktemp("film") / "film.y4m", astronaut, seconds=5)
    played = [f"--use-file-for-fake-audio-capture={voice}", f"--use-file-for-fake-video-capture={film}"]
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, *played, *FAKE_DEVICES)
        yield browser
        browser.close()


@pytest.fixture
def begin(opened: Open, service: Service) -> Begin:
    """Opens pages with a portrait, and waits until they are live."""

    @contextmanager
    def open_page(**options: Any) -> Iterator[Lines]:
        with opened(str(service.client.base_url), **{**DESKTOP, **options}) as page:
            lines = Lines(page)
            page.locator("#portrait").set_input_files(PORTRAIT)
            badge(page, "Live")
            yield lines

    return open_page


def badge(page: Page, text: str) -> None:
    expect(page.locator("#live-badge")).to_have_text(text)


def shows(page: Page, kind: str) -> None:
    expect(page.locator("#stage")).to_have_attribute("data-shows", kind)


def press(page: Page, *selectors: str) -> None:
    for selector in selectors:
        page.locator(selector).click()


def turn(lines: Lines, degrees: str = "20") -> Any:
    """Turn the head; what is seen then."""
    lines.page.locator("[data-control=yaw]").fill(degrees)
    shows(lines.page, "live")
    return lines.settle()


def drag(page: Page, selector: str, share: float) -> None:
    """Draw a slider's thumb from its middle to a share of its width, fast."""
    where = page.locator(selector).bounding_box()
    assert where is not None
    across = where["y"] + where["height"] / 2
    page.mouse.move(where["x"] + where["width"] / 2, across)
    page.mouse.down()
    page.mouse.move(where["x"] + where["width"] * share, across, steps=40)
    page.mouse.up()


@contextmanager
def finger_on(page: Page, selector: str) -> Iterator[None]:
    """Hold an element with a finger."""
    where = page.locator(selector).bounding_box()
    assert where is not None
    point = {"x": where["x"] + where["width"] / 2, "y": where["y"] + where["height"] / 2}
    hand = page.context.new_cdp_session(page)
    hand.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    yield
    hand.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_the_newest_state_wins_after_a_fast_drag(begin: Begin) -> None:
    with begin() as lines:
        page = lines.page
        shows(page, "portrait")  # until something moves
        drag(page, "[data-control=yaw]", 0.9)
        shows(page, "live")
        turned = lines.settle()
        said = lines.of("controls")
        assert [message["number"] for message in said] == [*range(1, len(said) + 1)]
        assert said[-1]["controls"] == page.evaluate("import('./web/page/state.js').then(m => m.state.get('controls'))")
        numbers = [header["number"] or 0 for header, _ in lines.pictures]
        assert numbers == sorted(numbers)
        stage = page.locator("#stage")
        assert int(stage.get_attribute("data-latency-ms") or "") > 0
        assert float(stage.get_attribute("data-pictures-per-second") or "") > 0
        drag(page, "[data-control=yaw]", 0.1)
        assert difference(lines.settle(), turned) > 3


def test_poses_reset_and_before_with_a_finger(begin: Begin) -> None:
    with begin(**PHONE) as lines:
        page = lines.page
        page.locator("[data-preset=left]").tap()
        shows(page, "live")
        left = lines.settle()
        page.locator("[data-preset=smile]").tap()
        lines.wait(lambda: set(lines.of("controls")[-1]["controls"]) == {"yaw", "gaze_x", "smile"})
        with finger_on(page, "#before"):
            expect(page.locator("img.before")).to_be_visible()
        expect(page.locator("img.before")).to_be_hidden()
        page.locator("#pose-reset").tap()
        lines.wait(lambda: lines.of("controls")[-1]["controls"] == {})
        assert difference(lines.settle(), left) > 3


def test_it_speaks_along_and_comes_to_rest(begin: Begin) -> None:
    with begin() as lines:
        page, resting = lines.page, lines.rest()
        press(page, "#tab-speech", "[value=microphone]", "#speak-along")
        lines.wait(lambda: difference(lines.newest, resting) > 1)
        shows(page, "live")
        page.locator("#speak-along").click()
        lines.wait(lambda: [message["by"] for message in lines.of("drive")] == ["sound", "controls"])
        lines.wait(lambda: at_rest(lines))
        assert difference(lines.settle(), resting) < 1


def at_rest(lines: Lines) -> bool:
    """Whether no picture comes for a second."""
    count = len(lines.pictures)
    lines.page.wait_for_timeout(1000)
    return len(lines.pictures) == count


def sees(lines: Lines, surroundings: tuple[int, int, int]) -> bool:
    """Whether the camera shows this part of its film."""
    return difference(lines.corner(".self-view"), np.array(surroundings, np.uint8)) < 20


def test_it_follows_the_camera(begin: Begin) -> None:
    with begin() as lines:
        page, resting = lines.page, lines.rest()
        press(page, "#tab-follow", "[value=camera]", "#camera-on")
        expect(page.locator(".self-view")).to_be_visible()
        lines.wait(lambda: sees(lines, NOBODY))  # so that it begins with who comes next
        page.locator("#follow-me").click()
        said = page.locator(".webcam [role=status]")
        expect(said).to_contain_text("No face in view.")
        expect(said).to_contain_text("neutral")
        shows(page, "live")
        lines.wait(lambda: sees(lines, NEAR) and difference(lines.newest, resting) > 3)
        page.locator("#recenter").click()
        lines.wait(lambda: sees(lines, NEAR) and difference(lines.newest, resting) < 1)
        page.locator("#follow-me").click()
        lines.wait(lambda: [message["by"] for message in lines.of("drive")] == ["camera", "controls"])
        lines.wait(lambda: at_rest(lines))
        assert lines.of("problem") == []


def test_a_key_that_is_given_opens_sessions(opened: Open, service: Service) -> None:
    with (
        front_end(service, PIRENDERER_API_KEYS=FIRST),
        opened(str(service.client.base_url), but=REFUSED, **DESKTOP) as page,
    ):
        lines = Lines(page)
        enter(page, "wrong-" * 6)
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is not valid")
        enter(page, FIRST)
        page.locator("#portrait").set_input_files(PORTRAIT)
        badge(page, "Live")
        turn(lines)
        page.evaluate("sessionStorage.setItem('key', 'wrong'.repeat(6))")
        page.evaluate("import('./web/page/live.js').then(({ live }) => live.close())")
        asked: list[str] = []
        page.on("websocket", lambda line: asked.append(line.url))
        page.on("request", lambda request: asked.append(request.url))
        page.locator("[data-control=yaw]").fill("-20")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is not valid")
        page.wait_for_timeout(3000)
        assert [url.partition("/v1/")[2] for url in asked if "/v1/" in url] == ["live"]
        enter(page, FIRST)
        badge(page, "Live")
        assert lines.settle() is not None


def test_it_goes_on_where_the_worker_dies(begin: Begin, service: Service) -> None:
    with begin() as lines:
        turned = turn(lines)
        service.kill_child()
        badge(lines.page, "Getting ready …")
        count = len(lines.pictures)
        lines.wait(lambda: len(lines.pictures) > count)
        badge(lines.page, "Live")
        assert difference(lines.settle(), turned) < 1


def test_it_comes_back_after_the_front_end_was_away(begin: Begin, service: Service) -> None:
    with begin(but=AWAY) as lines:
        page, turned = lines.page, turn(lines)
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        stop_front_end(service)
        lines.wait(lambda: len(failed) > 2)
        badge(page, "Getting ready …")
        expect(page.locator("#live-note")).to_be_hidden()
        start_front_end(service)
        badge(page, "Live")
        assert len(lines.of("start")) == 2
        assert difference(lines.settle(), turned) < 1
        expect(page.locator("#notice")).to_be_empty()


def test_a_job_takes_the_only_worker_and_the_session_comes_back(begin: Begin) -> None:
    with begin() as lines:
        page = lines.page
        turn(lines)
        page.locator("#make-picture").click()
        shows(page, "picture")
        badge(page, "Live")
        shows(page, "picture")
        turn(lines, "-20")


def test_a_second_page_makes_pictures_until_there_is_room(begin: Begin, opened: Open, service: Service) -> None:
    with opened(str(service.client.base_url), **DESKTOP) as page:
        second = Lines(page)
        note = page.locator("#live-note")
        with begin() as first:
            page.locator("#portrait").set_input_files(PORTRAIT)
            expect(note).to_contain_text("The live preview is busy right now.")
            page.locator("[data-control=yaw]").fill("12")
            page.locator("#make-picture").click()
            shows(page, "picture")
            expect(page.locator("#notice")).to_be_empty()
            turn(first)
        expect(note).to_be_hidden()
        turn(second)


def test_an_idle_session_ends_and_comes_back_with_the_next_movement(begin: Begin, service: Service) -> None:
    with front_end(service, PIRENDERER_LIVE_IDLE_S="3"), begin() as lines:
        page = lines.page
        lines.wait(lambda: lines.of("problem"))
        expect(page.locator("#live-badge")).to_be_hidden()
        expect(page.locator("#notice")).to_be_empty()
        turn(lines)
        assert len(lines.of("start")) == 2


def test_the_example_for_browsers_moves_a_portrait(opened: Open, service: Service) -> None:
    shown = example("docs/live.md", "## In a browser", "A browser cannot send headers")
    with opened(str(service.client.base_url)) as page:
        page.evaluate(f"(async () => {{ {GIVEN} {shown} }})()")
        image = page.locator("#moved")
        expect(image).to_have_attribute("title", re.compile(r"picture \d+"))
        expect(image).to_have_js_property("naturalWidth", 512)
        before = image.get_attribute("title") or ""
        page.locator("#mover").fill("15")
        expect(image).not_to_have_attribute("title", before)

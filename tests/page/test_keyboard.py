"""The page by the keyboard alone: all is reached, seen where it is, and left again."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.page.test_history import create
from tests.page.test_stage import SCREENS, shows
from tests.service.conftest import Server, photo
from tests.support.live_lines import LiveLines
from tests.support.pages import known

pytestmark = pytest.mark.slow

# All that the Tab key has to come to, as marked by their order in the document
MARK = """() => {
  const all = "a[href], button, input, select, textarea, summary, video[controls], audio[controls], [tabindex='0']";
  const reached = element => element.tabIndex >= 0 && !element.disabled
    && element.checkVisibility({ visibilityProperty: true })
    && !(element.type === "radio" && !element.checked);
  const found = [...document.querySelectorAll(all)].filter(reached);
  found.forEach((element, number) => { element.dataset.order = number; });
  return found.length;
}"""
# Where the focus is: its number, whether a ring is seen there, and whether something lies over it
FOCUS = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const shown = element.matches("input.unseen, .choice input") ? element.nextElementSibling : element;
  const ring = part => {
    const { outlineStyle, outlineWidth } = getComputedStyle(shown, part);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
  };
  const { left, top, width, height } = shown.getBoundingClientRect();
  const there = document.elementFromPoint(left + width / 2, top + height / 2);
  return {
    order: Number(element.dataset.order), name: element.outerHTML.slice(0, 120), ringed: ring(null) || ring("::after"),
    covered: !(there && (there === element || shown.contains(there) || there.contains(shown))),
  };
}"""


def walk(page: Page) -> None:
    """Go through the page from its beginning to its end: all in order, each with a ring, none hidden by another."""
    page.evaluate("document.activeElement.blur()")
    count = page.evaluate(MARK)
    page.locator("h1").click()  # where the order begins
    met: list[int] = []
    for _ in range(2 * count + 20):  # a video has several places of its own
        page.keyboard.press("Tab")
        focus: dict[str, Any] | None = page.evaluate(FOCUS)
        if focus is None:
            break
        assert focus["ringed"], f"no ring: {focus['name']}"
        assert not focus["covered"], f"hidden: {focus['name']}"
        if [focus["order"]] != met[-1:]:
            met.append(focus["order"])
    assert met == list(range(count)), page.evaluate("document.activeElement.outerHTML").partition(">")[0]


@pytest.mark.parametrize("name", ["desktop", "phone"])
def test_the_tab_key_comes_to_everything_and_goes_on(opened: Open, full_server: Server, name: str) -> None:
    server = full_server
    done = create(server)
    server.succeed(done, photo(320, 240, "PNG"))
    width, height = SCREENS[name]
    with opened(server.url, viewport={"width": width, "height": height}, reduced_motion="reduce") as page:
        LiveLines(page)
        expect(page.locator("#history li")).to_have_count(1)
        expect(page.locator("[data-control]")).to_have_count(17)
        walk(page)
        page.get_by_role("button", name="Try it with our portrait").press("Enter")
        shows(page, "portrait")
        expect(page.locator("#photo-menu summary")).to_be_focused()  # what had the focus is gone
        for tab in ("speech", "follow", "pose"):
            page.locator(f"#tab-{tab}").click()
            page.locator(f"#panel-{tab}").evaluate(
                "panel => panel.querySelectorAll('details').forEach(more => more.open = true)"
            )
            walk(page)
        page.locator("#history .past").press("Enter")
        shows(page, "picture")
        expect(page.locator("#download")).to_be_visible()
        walk(page)


def test_the_arrow_keys_turn_the_head(opened: Open, full_server: Server) -> None:
    with opened(full_server.url, reduced_motion="reduce") as page:
        LiveLines(page)
        page.get_by_role("button", name="Try it with our portrait").press("Enter")
        shows(page, "portrait")
        expect(page.locator("[data-control]")).to_have_count(17)
        page.keyboard.press("Shift+Tab")
        expect(page.locator("#frame")).to_be_focused()
        for key in ("ArrowRight", "ArrowRight", "ArrowUp", "+"):
            page.keyboard.press(key)
        assert known(page, "state.get('controls')") == {"yaw": 2, "pitch": 1, "scale": 1.05}
        page.keyboard.press("Control+z")
        assert known(page, "state.get('controls')") == {"yaw": 2, "pitch": 1}


def test_the_focus_comes_back_from_what_was_open(page: Page, portrait_file: Path) -> None:
    page.locator("#portrait").set_input_files(portrait_file)
    shows(page, "portrait")
    menu = page.locator("#photo-menu summary")
    menu.press("Enter")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    menu.press("Enter")
    page.locator("#photo-menu").get_by_role("button", name="Take a photo").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Take it")).to_be_enabled(timeout=30_000)
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('body, dialog *')")  # the body stands for the browser
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(menu).to_be_focused()


def test_a_notice_goes_with_escape_and_the_focus_comes_back(page: Page, server: Server) -> None:
    job = create(server)
    server.context.store.claims.fail(server.claim(job), Problem.of(ProblemType.NO_FACE, "no face"))
    page.reload()
    past = page.locator("#history .past")
    past.press("Enter")
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#notice")).to_be_empty()
    expect(past).to_be_focused()

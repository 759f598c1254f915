"""The page in all of its states, as axe sees it: nothing that keeps people out."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.page.test_history import create, drawn
from tests.service.conftest import FIRST, Server, Start, photo
from tests.service.routes.test_create import MP4

pytestmark = pytest.mark.slow

SCREENS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "has_touch": True, "is_mobile": True},
]
CALM = {"reduced_motion": "reduce"}  # so that nothing is judged while it fades


def check(page: Page, where: str) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, f"{where}: {results.generate_report()}"


@pytest.fixture(params=SCREENS, ids=["light", "dark", "phone"])
def screen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the page is looked at on."""
    return {**request.param, **CALM}


def test_nothing_keeps_people_out(opened: Open, server: Server, screen: dict[str, Any]) -> None:
    done, failed, _ = create(server), create(server), create(server)
    server.succeed(done, photo(200, 100, "PNG"))
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))
    with opened(server.url, **screen) as page:
        drawn(page, done)
        check(page, "empty")
        page.locator("#portrait").set_input_files(FilePayload(name="dance.mp4", mimeType="", buffer=MP4))
        expect(page.get_by_text("dance.mp4 is a video")).to_be_visible()
        check(page, "a wrong file")
        page.get_by_role("button", name="Try it with our portrait").click()
        expect(page.locator("#picture img")).to_be_visible()
        for tab in ("pose", "speech", "follow"):
            page.locator(f"#tab-{tab}").click()
            page.locator(f"#panel-{tab}").evaluate(
                "panel => panel.querySelectorAll('details').forEach(more => more.open = true)"
            )
            check(page, tab)
        page.locator(f"[data-job='{done}'] button").first.click()
        expect(page.locator("#download")).to_be_visible()
        check(page, "a result")
        page.locator(f"[data-job='{failed}'] button").first.click()
        expect(page.locator("#notice")).to_contain_text("No face was found.")
        check(page, "a problem")


def test_no_dialog_keeps_people_out(opened: Open, start: Start, screen: dict[str, Any]) -> None:
    with opened(start(api_keys=FIRST).url, but="status of 401", **screen) as page:
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()
        check(page, "the key")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Take a photo").click()
        expect(page.get_by_role("dialog", name="Take a photo")).to_be_visible()
        check(page, "the camera")

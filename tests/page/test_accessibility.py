"""The page in all of its states, as axe sees it: nothing that keeps people out."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from jobs.problems import Problem, ProblemType
from jobs.schemas import Progress
from tests.page.conftest import Open
from tests.page.test_history import create, drawn, make_video
from tests.page.test_stage import shows
from tests.service.conftest import FIRST, Server, Start, photo
from tests.service.routes.test_create import MP4
from tests.support.axe import check
from tests.support.live_lines import LiveLines
from tests.support.page_jobs import choose_portrait, send_picture

pytestmark = pytest.mark.slow

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CALM = {"reduced_motion": "reduce"}  # so that nothing is judged while it fades


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def screen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the page is looked at on."""
    return {**request.param, **CALM}


def check_tabs(page: Page) -> None:
    """Look at each tab with all that is folded, and at each of its ways."""
    for tab, ways in (("pose", []), ("speech", ["file", "microphone", "text"]), ("follow", ["file", "camera"])):
        page.locator(f"#tab-{tab}").click()
        panel = page.locator(f"#panel-{tab}")
        panel.evaluate("panel => panel.querySelectorAll('details').forEach(more => more.open = true)")
        check(page, tab, part="#panel")
        for way in ways:
            panel.locator(f"[name={tab}-way][value={way}]").check()
            check(page, f"{tab} by {way}", part="#panel")


def test_nothing_keeps_people_out(opened: Open, full_server: Server, screen: dict[str, Any], tmp_path: Path) -> None:
    server = full_server
    done, spoken, failed, waiting = create(server), create(server, "videos"), create(server), create(server)
    server.succeed(done, photo(200, 100, "PNG"))
    make_video(server, tmp_path, spoken)
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))

    def see(job: str) -> None:
        page.locator(f"[data-job='{job}'] button").first.click()

    with opened(server.url, **screen) as page:
        LiveLines(page)
        drawn(page, done)
        check(page, "empty")
        page.locator("#portrait").set_input_files(FilePayload(name="dance.mp4", mimeType="", buffer=MP4))
        expect(page.get_by_text("dance.mp4 is a video")).to_be_visible()
        check(page, "a wrong file", part="#stage")
        page.get_by_role("button", name="Try it with our portrait").click()
        shows(page, "portrait")
        check_tabs(page)
        page.locator("#tab-pose").click()
        page.locator("#photo-menu summary").click()
        check(page, "the menu", part="#stage")
        page.locator("[data-preset=left]").click()
        shows(page, "live")
        check(page, "live", part="#stage")
        see(done)
        expect(page.locator("#download")).to_be_visible()
        check(page, "a picture")
        see(spoken)
        shows(page, "video")
        expect(page.locator("#download")).to_be_visible()
        check(page, "a video", part="#stage")
        see(waiting)
        expect(page.locator("#cancel")).to_be_visible()
        check(page, "a job that waits", part="#stage")
        see(failed)
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


def test_stages_are_said_once_and_frames_are_not(page: Page, server: Server, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    job = send_picture(page, server)
    expect(page.locator("#work")).to_contain_text("Waiting in line")
    page.evaluate("""() => {
      const status = document.querySelector("#status");
      globalThis.said = [];
      new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
    }""")
    claims, claim = server.context.store.claims, server.claim(job)
    for stage in ("load", "face", "motion"):
        claims.progress(claim, Progress(stage=stage))
    for done in range(1, 179):
        claims.progress(claim, Progress(stage="render", done=done, total=178))
    claims.give_back(claim)
    server.succeed(job, photo(200, 100, "PNG"))
    expect(page.locator("#status")).to_have_text("It is done.")
    said = page.evaluate("said")
    assert "Rendering" in said
    assert len(said) == len(set(said)) <= 8, said

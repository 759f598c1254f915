"""The address: it finds the job, the tab and the pose again, and can be sent to others."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Open
from tests.page.test_history import create
from tests.service.conftest import Server, photo
from tests.support.pages import known, wait_for_width, wait_until_known

pytestmark = pytest.mark.slow


def pose(page: Page, values: str) -> None:
    known(page, f"state.set({{ controls: {values} }})")


def made(server: Server, width: int) -> str:
    job = create(server)
    server.succeed(job, photo(width, 100, "PNG"))
    return job


def test_tabs_are_steps_to_go_back_to(page: Page, server: Server) -> None:
    for tab in ("speech", "follow"):
        page.locator(f"#tab-{tab}").click()
        expect(page).to_have_url(f"{server.url}/#tab={tab}")
    page.go_back()
    expect(page.locator("#tab-speech")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#tab-pose")).to_have_attribute("aria-selected", "true")
    page.go_forward()
    page.reload()
    expect(page.locator("#tab-speech")).to_have_attribute("aria-selected", "true")


def test_a_pose_is_in_the_address_and_no_step(page: Page, server: Server) -> None:
    steps = page.evaluate("history.length")
    for yaw in (5, 10, 20.12345):
        pose(page, f"{{ yaw: {yaw} }}")
    expect(page).to_have_url(f"{server.url}/#pose=yaw:20.123")
    assert page.evaluate("history.length") == steps
    pose(page, "{}")
    expect(page).to_have_url(f"{server.url}/")


def test_a_pose_that_was_sent_is_taken_as_far_as_it_can_be(opened: Open, server: Server) -> None:
    with opened(f"{server.url}/#pose=yaw:20,jaw_open:7,halo:1,smile") as page:
        wait_until_known(page, "state.get('controls').yaw")
        assert known(page, "state.get('controls')") == {"yaw": 20, "jaw_open": 1}
        expect(page).to_have_url(f"{server.url}/#pose=yaw:20,jaw_open:1")


def test_an_address_finds_its_job(opened: Open, server: Server) -> None:
    job = made(server, 200)
    with opened(f"{server.url}/#job={job}") as page:
        wait_for_width(page, 200)
        page.reload()
        wait_for_width(page, 200)
        expect(page).to_have_url(f"{server.url}/#job={job}")


def test_a_job_that_runs_survives_a_reload(opened: Open, server: Server) -> None:
    job = create(server)
    with opened(f"{server.url}/#job={job}") as page:
        wait_until_known(page, "state.get('job')")
        page.reload()
        wait_until_known(page, "state.get('job')")
        expect(page).to_have_url(f"{server.url}/#job={job}")
        server.succeed(job, photo(200, 100, "PNG"))
        wait_for_width(page, 200)


def test_back_leads_to_the_result_before(page: Page, server: Server) -> None:
    first, second = made(server, 200), made(server, 300)
    page.reload()
    for job, width in ((first, 200), (second, 300)):
        page.locator(f"[data-job='{job}'] button").first.click()
        wait_for_width(page, width)
    page.go_back()
    wait_for_width(page, 200)
    page.go_back()
    expect(page.get_by_role("button", name="Try it with our portrait")).to_be_visible()
    page.go_forward()
    page.go_forward()
    wait_for_width(page, 300)


def test_a_job_that_is_not_there_leaves_the_address(opened: Open, server: Server) -> None:
    with opened(f"{server.url}/#tab=speech&job={'0' * 32}", but="status of 404") as page:
        expect(page.locator("#notice")).to_contain_text("This is not there (any more).")
        expect(page).to_have_url(f"{server.url}/#tab=speech")


def test_a_link_to_a_job_can_be_copied(page: Page, server: Server) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """import("./web/page/share.js").then(({ copyButton, jobLink }) =>
          document.querySelector("main").append(copyButton("Copy", () => jobLink("a1"))))"""
    )
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied", exact=True)).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"{server.url}/#job=a1"

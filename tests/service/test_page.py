"""The page of the calls in a real browser."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.service.conftest import FIRST, Start
from tests.support.proxies import under_path

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"no browser: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@contextmanager
def complaining(browser: Browser, *, but: str = "") -> Iterator[Page]:
    """A page that must have nothing to complain of, `but` this, such as what the content security policy stopped."""
    page = browser.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert [complaint for complaint in complaints if not but or but not in complaint] == []


def try_controls(page: Page) -> None:
    """Ask for the controls from the page that describes the calls."""
    page.locator("#operations-discovery-list_controls").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute", exact=True).click()
    expect(page.locator(".live-responses-table .response")).to_contain_text(re.compile("^200.*jaw_open", re.DOTALL))


def test_calls_are_listed_and_can_be_tried(browser: Browser, start: Start) -> None:
    server = start(api_keys=FIRST)
    with complaining(browser) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.add_init_script(f"sessionStorage.setItem('key', '{FIRST}')")
        page.goto(server.url)
        page.get_by_role("link", name="API").click()
        try_controls(page)
        document = server.client.get("/openapi.json").json()
        described = sum(len(methods) for kind in ("paths", "webhooks") for methods in document[kind].values())
        expect(page.locator(".opblock")).to_have_count(described)
        for summary in page.locator(".opblock-summary").all()[:5]:
            summary.click()
        expect(page.locator(".opblock.is-open")).to_have_count(6)
        assert [url for url in asked if not url.startswith((server.url, "data:"))] == []


def test_calls_can_be_tried_under_the_path_of_a_proxy(browser: Browser, start: Start) -> None:
    with under_path(start(allow_open=True).url.rstrip("/"), "/pir") as url, complaining(browser) as page:
        page.goto(f"{url}/docs")
        try_controls(page)

"""The page behind a proxy, with keys and with a bucket, and the page of the calls."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect

from tests.page.conftest import Open
from tests.page.test_history import SIGNED_IN
from tests.service.conftest import FIRST, Server, Start, photo
from tests.support.buckets import Bucket
from tests.support.pages import wait_for_width
from tests.support.processes import until
from tests.support.proxies import under_path

pytestmark = pytest.mark.slow


def make_picture(page: Page, server: Server, portrait_file: Path) -> None:
    """Send a portrait, and see what a worker makes of it."""
    page.locator("#portrait").set_input_files(portrait_file)
    page.locator("#make-picture").click()
    until(lambda: server.queued_messages("images"), "nothing is sent")
    server.succeed(server.queued_messages("images")[-1], photo(200, 100, "PNG"))
    wait_for_width(page, 200)


def heard(page: Page) -> list[Request]:
    """What the page asks for from now on."""
    asked: list[Request] = []
    page.on("request", lambda request: asked.extend([request]))  # it takes no builtin
    return asked


def test_a_result_comes_from_a_bucket_and_the_key_does_not_go_there(
    opened: Open, start: Start, bucket: Bucket, portrait_file: Path
) -> None:
    server = start(api_keys=FIRST, housekeeping_s=3600, **bucket.settings)
    with opened(server.url, script=SIGNED_IN) as page:
        asked = heard(page)
        make_picture(page, server, portrait_file)
        there = [request for request in asked if request.url.startswith(bucket.settings["s3_endpoint_url"])]
        assert {request.method for request in there} == {"GET"}  # with a key, the browser would ask for leave first
        assert not any("authorization" in request.all_headers() for request in there)
        assert any("authorization" in request.all_headers() for request in asked)


def test_it_works_under_the_path_of_a_proxy(opened: Open, start: Start, portrait_file: Path) -> None:
    server = start(allow_open=True)  # which knows nothing of the path
    with under_path(server.url.rstrip("/"), "/pir") as url, opened(f"{url}/") as page:
        make_picture(page, server, portrait_file)
        page.reload()
        wait_for_width(page, 200)


def test_the_page_asks_nobody_else(opened: Open, server: Server, portrait_file: Path) -> None:
    with opened("about:blank") as page:
        asked = heard(page)
        page.goto(server.url)
        make_picture(page, server, portrait_file)
        for tab in ("speech", "follow"):
            page.locator(f"#tab-{tab}").click()
        page.wait_for_load_state("networkidle")
        assert [request.url for request in asked if not request.url.startswith((server.url, "blob:"))] == []


def try_controls(page: Page) -> None:
    """Ask for the controls from the page that describes the calls."""
    page.locator("#operations-discovery-list_controls").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute", exact=True).click()
    expect(page.locator(".live-responses-table .response")).to_contain_text(re.compile("^200.*jaw_open", re.DOTALL))


def test_calls_are_listed_and_can_be_tried(opened: Open, start: Start) -> None:
    server = start(api_keys=FIRST)
    with opened(server.url, script=f"if (!localStorage.getItem('key')) {SIGNED_IN}") as page:
        asked = heard(page)
        page.get_by_role("link", name="API").click()
        try_controls(page)
        document = server.client.get("/openapi.json").json()
        described = sum(len(methods) for kind in ("paths", "webhooks") for methods in document[kind].values())
        expect(page.locator(".opblock")).to_have_count(described)
        page.locator(".opblock-summary").first.click()  # which has the largest form; each takes seconds to open
        expect(page.locator(".opblock.is-open")).to_have_count(2)
        page.evaluate("localStorage.setItem('key', sessionStorage.getItem('key')); sessionStorage.clear()")
        page.evaluate("location.hash = ''")  # so that nothing is open
        page.reload()
        expect(page.locator(".btn.authorize.locked")).to_be_visible()
        assert [request.url for request in asked if not request.url.startswith((server.url, "data:"))] == []


def test_calls_can_be_tried_under_the_path_of_a_proxy(opened: Open, start: Start) -> None:
    url = start(allow_open=True).url.rstrip("/")
    with under_path(url, "/pir") as proxied, opened(f"{proxied}/docs") as page:
        try_controls(page)

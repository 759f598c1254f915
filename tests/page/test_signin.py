"""The key: asked for when it is wanted, shown which is in use, forgotten when that is wished."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.page.conftest import Open
from tests.service.conftest import BOTH, FIRST, SECOND, Start
from tests.support.pages import wait_until_known
from tests.support.processes import until

pytestmark = pytest.mark.slow

REFUSED = "status of 401"
STORED = "[sessionStorage, localStorage].map(storage => storage.getItem('key'))"


def enter(page: Page, key: str) -> None:
    dialog = page.get_by_role("dialog", name="API key")
    dialog.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_once_and_what_was_refused_is_repeated(opened: Open, start: Start) -> None:
    server = start(api_keys=FIRST)
    with opened(server.url, but=REFUSED) as page:
        expect(page.get_by_role("dialog")).to_have_count(1)
        expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("A key is needed for this.")
        enter(page, FIRST)
        expect(page.get_by_role("dialog")).to_have_count(0)
        wait_until_known(page, "state.get('space')")
        expect(page.locator("#sign-in")).to_have_text(f"Key …{FIRST[-4:]}")
        assert page.evaluate(STORED) == [FIRST, None]
        assert FIRST not in page.url


def test_who_gives_none_is_not_asked_again_for_what_was_sent_before(opened: Open, start: Start) -> None:
    late: list[Route] = []
    with opened("about:blank", but=REFUSED) as page:
        page.route("**/v1/controls", lambda route: late.extend([route]))  # it takes no builtin
        page.goto(start(api_keys=FIRST).url)
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        until(lambda: late or page.wait_for_timeout(50), "the controls are not asked for")
        with page.expect_response("**/v1/controls"):
            late[0].continue_()
        expect(page.locator("#notice")).to_contain_text("A valid API key is needed.")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_wrong_key_is_said_to_be_wrong(opened: Open, start: Start) -> None:
    with opened(start(api_keys=FIRST).url, but=REFUSED) as page:
        enter(page, "wrong-" * 6)
        expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(
            "The key ending in ong- is not valid (any more)."
        )
        enter(page, "ключ")
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("no letters beyond A to Z")
        enter(page, f"  {FIRST}\n")
        expect(page.locator("#sign-in")).to_have_text(f"Key …{FIRST[-4:]}")


def test_what_needs_a_key_asks_again(opened: Open, start: Start, portrait_file: Path) -> None:
    server = start(api_keys=FIRST)
    with opened(server.url, but=REFUSED) as page:
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.locator("#portrait").set_input_files(portrait_file)
        enter(page, FIRST)
        wait_until_known(page, "state.get('portrait')?.id")


def test_the_key_can_be_seen_and_is_hidden_at_first(opened: Open, start: Start) -> None:
    with opened(start(api_keys=FIRST).url, but=REFUSED) as page:
        field = page.get_by_role("dialog").get_by_label("Key", exact=True)
        expect(field).to_have_attribute("type", "password")
        expect(field).to_be_focused()
        page.get_by_label("Show it").check()
        expect(field).to_have_attribute("type", "text")


def test_a_key_is_forgotten_or_replaced(opened: Open, start: Start) -> None:
    server = start(api_keys=BOTH)
    signed_in = f"sessionStorage.getItem('asked') || sessionStorage.setItem('key', '{FIRST}'); sessionStorage.asked = 1"
    with opened(server.url, but=REFUSED, script=signed_in) as page:
        page.locator("#sign-in").click()
        enter(page, SECOND)
        expect(page.locator("#sign-in")).to_have_text(f"Key …{SECOND[-4:]}")
        page.wait_for_load_state()
        page.locator("#sign-in").click()
        page.get_by_role("button", name=f"Forget the key …{SECOND[-4:]}").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text("A key is needed for this.")
        assert page.evaluate(STORED) == [None, None]


def test_a_key_is_remembered_where_that_is_chosen(browser: Browser, start: Start) -> None:
    server = start(api_keys=FIRST)
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.get_by_label("Remember it on this device").check()
    enter(page, FIRST)
    expect(page.locator("#sign-in")).to_be_visible()
    assert page.evaluate(STORED) == [None, FIRST]
    later = context.new_page()
    later.goto(server.url)
    expect(later.locator("#sign-in")).to_have_text(f"Key …{FIRST[-4:]}")
    expect(later.get_by_role("dialog")).to_have_count(0)
    context.close()

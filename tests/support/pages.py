"""What the page knows, and what people do to it that a browser has no call for: files dropped and pasted."""

from typing import Any

from playwright.sync_api import JSHandle, Locator, Page

from tests.support.processes import until

CARRY = """([bytes, name, type]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type }));
  return carried;
}"""
PASTE = """carried => document.activeElement.dispatchEvent(
  new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }))"""


def known(page: Page, expression: str) -> Any:
    """What an expression of the page's `state` is now."""
    return page.evaluate(f"import('./web/page/state.js').then(({{ state }}) => {expression})")


def wait_until_known(page: Page, expression: str) -> None:
    """Wait until it is true."""
    until(lambda: known(page, expression), f"{expression} stays {known(page, expression)}")


def wait_for_width(page: Page, width: int) -> None:
    """Wait until a picture of this width is on the stage."""
    image = page.locator("#picture img").last
    until(lambda: image.evaluate("image => image.naturalWidth") == width, f"no picture is {width} pixels wide")


def carry(page: Page, data: bytes, name: str, media_type: str = "") -> JSHandle:
    """A file that is dragged."""
    return page.evaluate_handle(CARRY, [list(data), name, media_type])


def drop(onto: Locator, data: bytes, name: str, media_type: str = "") -> None:
    """Drag a file onto an element and let go of it."""
    carried = carry(onto.page, data, name, media_type)
    for event in ("dragenter", "dragover", "drop"):
        onto.dispatch_event(event, {"dataTransfer": carried})


def paste(page: Page, data: bytes, name: str, media_type: str = "") -> None:
    """Paste a file where the focus is."""
    page.evaluate(PASTE, carry(page, data, name, media_type))

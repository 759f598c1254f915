"""What people do to the page that a browser has no call for: files dropped and pasted."""

from playwright.sync_api import JSHandle, Locator, Page

CARRY = """([bytes, name, type]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name, { type }));
  return carried;
}"""
PASTE = """carried => document.activeElement.dispatchEvent(
  new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }))"""


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

"""A browser, pages that must have nothing to complain of, and files to choose."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.service.conftest import Server, photo, quiet, server, shared_server, start, weights_dir

__all__ = ["quiet", "server", "shared_server", "start", "weights_dir"]

FAKE_DEVICES = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, with a camera and a microphone that are played."""
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox", *FAKE_DEVICES])
        except Error as error:
            pytest.skip(f"no browser: {error.message.splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Open:
    """Opens pages that must have nothing to complain of `but` this, such as what the content policy stopped."""

    @contextmanager
    def open_page(url: str, *, but: str = "", script: str = "", **context: Any) -> Iterator[Page]:
        page = browser.new_page(**context)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(url)
        yield page
        page.close()
        assert [complaint for complaint in complaints if not but or but not in complaint] == []

    return open_page


@pytest.fixture
def page(opened: Open, server: Server) -> Iterator[Page]:
    """The page of a service without keys."""
    with opened(server.url) as page:
        yield page


@pytest.fixture
def portrait_file(tmp_path: Path) -> Path:
    """A photo of 320 x 240 pixels."""
    path = tmp_path / "me.jpg"
    path.write_bytes(photo(320, 240))
    return path

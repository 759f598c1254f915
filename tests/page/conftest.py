"""A browser, pages that must have nothing to complain of, and files to choose."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserType, Error, Page, expect, sync_playwright

from tests.service.conftest import Server, Start, control, photo, quiet, server, shared_server, start, weights_dir
from tests.support.limits import SOUND_LIMITS
from tests.support.page_jobs import Video
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE_S
from tests.support.streams import stream
from worker.media.audio import open_sound
from worker.media.stream import join_fragments

__all__ = ["quiet", "server", "shared_server", "start", "weights_dir"]

FAKE_DEVICES = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]

PATIENCE_MS = 1000 * PATIENCE_S
expect.set_options(timeout=PATIENCE_MS)

Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="session")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: seven seconds of speech, as a WAV of 48 kHz."""
    path = tmp_path_factory.mktemp("voice") / "voice.wav"
    samples, rate = soundfile.read(ROOT / "service" / "samples" / "speech.flac", dtype="float32")
    soundfile.write(path, np.repeat(samples, 48_000 // rate), 48_000)
    return path


def launch(kind: BrowserType, *arguments: str) -> Browser:
    """A Chromium, the system's if it has one."""
    installed = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        return kind.launch(executable_path=installed, args=["--no-sandbox", *arguments])
    except Error as error:
        pytest.skip(f"no browser: {error.message.splitlines()[0]}")


@pytest.fixture(scope="module")
def browser(voice: Path) -> Iterator[Browser]:
    """Chromium, with a camera and a microphone that are played."""
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium, f"--use-file-for-fake-audio-capture={voice}", *FAKE_DEVICES)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Browser) -> Open:
    """Opens pages that must have nothing to complain of `but` this, such as what the content policy stopped."""

    @contextmanager
    def open_page(url: str, *, but: str = "", script: str = "", **context: Any) -> Iterator[Page]:
        page = browser.new_page(**context)
        page.set_default_timeout(PATIENCE_MS)
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
def full_server(start: Start, weights_dir: Path) -> Server:
    """A service with all controls of the released motion space, and one that nobody has words for."""
    card = json.loads((weights_dir / "space.json").read_text())
    released = json.loads((ROOT / "model/weights/open478.json").read_text())["controls"]
    card["controls"] = [*released, control("wiggle_ears", 0, 2)]
    (weights_dir / "space.json").write_text(json.dumps(card))
    return start(allow_open=True)


@pytest.fixture
def portrait_file(tmp_path: Path) -> Path:
    """A photo of 320 x 240 pixels."""
    path = tmp_path / "me.jpg"
    path.write_bytes(photo(320, 240))
    return path


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """One of three segments, with noise to be heard."""
    folder, frames = tmp_path_factory.mktemp("video"), 12 + 24 + 10
    picture = np.random.default_rng(0).integers(16, 235, (72, 64)).astype(np.uint8)
    soundfile.write(folder / "a.wav", np.random.default_rng(0).normal(0, 0.1, frames * 1920), 48_000)
    sound = open_sound(folder / "a.wav", SOUND_LIMITS)
    made = stream(folder, [np.roll(picture, number, 1) for number in range(frames)], sound=sound)
    join_fragments(made.video, folder / "whole.mp4")
    segments = [path.read_bytes() for path in made.fragments]
    return Video(made.video, made.init.read_bytes(), segments, (folder / "whole.mp4").read_bytes(), frames)

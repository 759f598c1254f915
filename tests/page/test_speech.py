"""What the portrait says, on the page: a file, the microphone, a text."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from jobs.live import SOUND
from jobs.motions import ControlsMotion
from tests.page.conftest import FAKE_DEVICES, Open, launch
from tests.service.conftest import Server, Start
from tests.service.routes.test_create import WAV
from tests.support.limits import SOUND_LIMITS
from tests.support.live_lines import LiveLines
from tests.support.page_jobs import choose_portrait, job_of, send_speech, video_spec
from tests.support.processes import until
from worker.media.audio import read_speech

pytestmark = pytest.mark.slow


def record(page: Page, seconds: float) -> None:
    """Record what the microphone hears."""
    page.locator("#tab-speech").click()
    page.locator("[value=microphone]").check()
    page.locator("#record").click()
    expect(page.locator("#record")).to_have_text("Stop")
    page.wait_for_timeout(1000 * seconds)


def level(page: Page) -> float:
    """How loud it is, a little later."""
    page.wait_for_timeout(20)
    return float(page.locator(".level").evaluate("meter => meter.value"))


def test_speech_is_sent_with_its_options_and_the_pose_of_the_first_tab(
    page: Page, server: Server, portrait_file: Path
) -> None:
    page.locator("#control-yaw").fill("30")
    page.locator("#tab-speech").click()
    page.locator("#panel-speech .more summary").click()
    page.locator("#speech-blink").uncheck()
    page.locator("#speech-pose_scale").fill("0.5")
    page.locator("#speech-seed").fill("7")
    page.locator("#speech-paste_back").uncheck()
    page.locator("#speech-size").select_option("512")
    page.locator("#speech-format").select_option("webm")
    spec = video_spec(server, send_speech(page, server, portrait_file).job_id)
    assert spec.motion == ControlsMotion(controls={"yaw": 30.0})
    options = spec.options
    assert (options.blink_rate, options.pose_scale, options.seed, options.temperature) == (0, 0.5, 7, 0.7)
    assert (options.paste_back, options.size, options.format, options.label) == (False, 512, "webm", False)


def test_without_the_pose_and_with_a_short_take(page: Page, server: Server, portrait_file: Path) -> None:
    page.locator("#control-yaw").fill("30")
    page.locator("#tab-speech").click()
    page.locator("#speech-keep").uncheck()
    spec = video_spec(server, send_speech(page, server, portrait_file).job_id)
    assert spec.motion is None
    assert spec.options.blink_rate is None
    assert spec.options.seed is not None
    assert spec.options.seed < 1_000_000


def test_a_sound_that_comes_otherwise_is_what_is_said(page: Page, portrait_file: Path) -> None:
    speech = portrait_file.with_name("speech.wav")
    speech.write_bytes(WAV)
    choose_portrait(page, portrait_file)
    page.locator("#tab-speech").click()
    page.locator("[value=microphone]").check()
    expect(page.locator("#speech-submit")).to_be_disabled()
    page.locator("#audio").set_input_files(speech)  # as if it were dropped
    expect(page.locator("[name=speech-way][value=file]")).to_be_checked()
    expect(page.locator("#speech-submit")).to_be_enabled()


def test_our_sample_is_one_click(page: Page, server: Server, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    page.locator("#tab-speech").click()
    page.locator("#speech-sample").click()
    page.locator("#speech-submit").click()
    audio = video_spec(server, job_of(server, "videos")).audio
    assert audio is not None
    assert audio.media_type == "audio/flac"


def test_a_recording_is_what_was_said(page: Page, server: Server, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    record(page, 2.5)
    until(lambda: level(page) > 0.3, "nothing is heard")
    expect(page.locator(".time").first).to_have_text(re.compile(r"0:(0[2-9]|[1-5]\d)"))
    page.locator("#record").click()
    expect(page.locator("#panel-speech audio:visible")).to_have_count(1)
    page.locator("#speech-submit").click()
    audio = video_spec(server, job_of(server, "videos")).audio
    assert audio is not None
    assert audio.media_type == "audio/webm"
    speech = read_speech(server.artifacts.path(audio.key), SOUND_LIMITS)
    assert speech.seconds > 2
    assert max(float(np.abs(block).max()) for block in speech) > 0.05


def test_a_recording_ends_when_the_tab_changes_and_is_kept(page: Page, portrait_file: Path) -> None:
    choose_portrait(page, portrait_file)
    record(page, 0.5)
    page.locator("#tab-follow").click()
    page.locator("#tab-speech").click()
    expect(page.locator("#record")).to_have_text("Record again")
    expect(page.locator("#speech-submit")).to_be_enabled()


def test_a_text_is_said_by_a_voice_of_the_readers_language(opened: Open, start: Start, portrait_file: Path) -> None:
    server = start(allow_open=True)
    with opened(server.url, but="404", locale="de-DE") as page:
        choose_portrait(page, portrait_file)
        page.locator("#tab-speech").click()
        page.locator("[value=text]").check()
        expect(page.locator("#voice")).to_have_value("de")
        page.locator("#text").fill("…")
        expect(page.locator("#speech-submit")).to_be_disabled()
        page.locator("#text").fill("Guten Morgen!")
        page.locator("#speech-submit").click()
        spec = video_spec(server, job_of(server, "videos"))
        assert (spec.text, spec.voice) == ("Guten Morgen!", "de")


def test_where_nothing_speaks_texts_it_says_so(opened: Open, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with opened(start(allow_open=True).url) as page:
        page.locator("#tab-speech").click()
        page.locator("[value=text]").check()
        expect(page.locator("#panel-speech")).to_contain_text("This service cannot read texts aloud.")
        expect(page.locator("#text")).to_be_disabled()


def test_the_portrait_hears_what_the_microphone_does(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    choose_portrait(page, portrait_file)
    page.locator("#tab-speech").click()
    page.locator("[value=microphone]").check()
    page.locator("#speak-along").click()
    live.wait(lambda: len(live.sent) > 40)
    page.locator("#speak-along").click()
    live.wait(lambda: live.drives() == ["sound", "controls"])
    assert {chunk[:1] for chunk in live.sent} == {SOUND}
    assert {len(chunk) for chunk in live.sent} == {1 + 2 * 960}
    samples = np.concatenate([np.frombuffer(chunk[1:], "<i2") for chunk in live.sent]) / 2**15
    assert np.abs(samples).max() > 0.05
    power = np.abs(np.fft.rfft(samples)) ** 2
    assert power[: len(power) // 4].sum() > 0.8 * power.sum()  # of speech most is below 2 kHz


@pytest.fixture(scope="module")
def strict_browser(browser: Browser) -> Iterator[Browser]:
    """One whose user allows nothing, and where portraits.example is this machine."""
    rules = ["--deny-permission-prompts", FAKE_DEVICES[0], "--host-resolver-rules=MAP portraits.example 127.0.0.1"]
    strict = launch(browser.browser_type, *rules)
    yield strict
    strict.close()


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "This page may not use the microphone. Allow it next to the address"),
        ("portraits.example", "Browsers allow the microphone on secure pages only"),
    ],
)
def test_why_there_is_no_microphone_is_told(strict_browser: Browser, start: Start, host: str, words: str) -> None:
    url = start(allow_open=True, hosts=("portraits.example",)).url
    page = strict_browser.new_page()
    page.goto(url.replace("127.0.0.1", host))
    page.locator("#tab-speech").click()
    page.locator("[value=microphone]").check()
    page.locator("#record").click()
    expect(page.locator("#notice")).to_contain_text(words)
    expect(page.locator("#record")).to_have_text("Record")
    page.close()

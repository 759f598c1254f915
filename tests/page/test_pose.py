"""The tab "Pose" in a real browser: presets, sliders, the hand on the picture, undo, and the job that is made of it."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import Open
from tests.service.conftest import Server
from tests.support.live_lines import LiveLines
from tests.support.processes import until

pytestmark = pytest.mark.slow

CONTROLS = "import('./web/page/state.js').then(({ state }) => state.get('controls'))"


@pytest.fixture
def server(full_server: Server) -> Server:
    return full_server


def pose(page: Page) -> Any:
    return page.evaluate(CONTROLS)


def becomes(page: Page, wanted: dict[str, float]) -> None:
    """Wait until the pose is this one: what is chosen by name is moved into."""
    until(lambda: pose(page) == wanted or page.wait_for_timeout(20), lambda: str(pose(page)))


def preset(page: Page, name: str) -> None:
    page.locator(f"[data-preset={name}]").click()


def test_presets_of_head_and_face_hold_together(page: Page) -> None:
    expect(page.locator(".preset")).to_have_count(12)
    preset(page, "left")
    becomes(page, {"yaw": -14, "gaze_x": -0.5})
    preset(page, "smile")
    becomes(page, {"yaw": -14, "gaze_x": -0.5, "smile": 1})
    expect(page.locator("[data-control=smile]")).to_have_value("1")
    expect(page.locator(".preset[aria-pressed=true]")).to_have_count(2)
    preset(page, "right")
    becomes(page, {"yaw": 14, "gaze_x": 0.5, "smile": 1})
    preset(page, "kiss")
    becomes(page, {"yaw": 14, "gaze_x": 0.5, "pucker": 1, "blink_left": 0.3, "blink_right": 0.3})
    preset(page, "right")  # once more: back to rest
    becomes(page, {"pucker": 1, "blink_left": 0.3, "blink_right": 0.3})


def test_a_preset_is_moved_into_and_at_once_where_motion_is_unwanted(opened: Open, server: Server) -> None:
    seen = """async name => {
      const { state } = await import('./web/page/state.js');
      const values = [];
      state.watch(['controls'], ({ controls }) => values.push(controls.smile ?? 0));
      document.querySelector('[data-preset=smile]').click();
      await new Promise(resolve => setTimeout(resolve, 600));
      return values.slice(1);
    }"""
    with opened(server.url) as page:
        expect(page.locator(".preset")).to_have_count(12)
        values = page.evaluate(seen)
        assert len(values) > 2
        assert values == sorted(values)
        assert values[-1] == 1
    with opened(server.url, reduced_motion="reduce") as page:
        expect(page.locator(".preset")).to_have_count(12)
        assert page.evaluate(seen) == [1]


def test_steps_are_undone_and_redone(page: Page) -> None:
    undo, redo = page.locator("#pose-undo"), page.locator("#pose-redo")
    preset(page, "smile")
    becomes(page, {"smile": 1})
    page.locator("[data-control=yaw]").fill("10")
    page.locator("[data-control=yaw]").dispatch_event("change")
    preset(page, "up")
    becomes(page, {"smile": 1, "pitch": 9, "gaze_y": 0.5})
    undo.click()
    becomes(page, {"smile": 1, "yaw": 10})
    page.keyboard.press("Control+z")
    becomes(page, {"smile": 1})
    page.keyboard.press("Control+Shift+Z")
    becomes(page, {"smile": 1, "yaw": 10})
    page.locator("#pose-reset").click()
    becomes(page, {})
    expect(redo).to_have_attribute("aria-disabled", "true")
    undo.click()
    becomes(page, {"smile": 1, "yaw": 10})
    redo.click()
    becomes(page, {})
    for _ in range(3):
        undo.click()
    becomes(page, {})
    expect(undo).to_have_attribute("aria-disabled", "true")
    page.locator("[data-control=yaw]").focus()
    page.keyboard.press("Control+Shift+Z")
    becomes(page, {"smile": 1})


def test_keys_move_a_slider_by_sensible_steps(page: Page) -> None:
    yaw = page.locator("[data-control=yaw]")
    yaw.fill("3.4")
    yaw.press("ArrowRight")
    becomes(page, {"yaw": 4})
    yaw.press("Shift+ArrowLeft")
    becomes(page, {"yaw": -1})
    expect(yaw).to_have_attribute("aria-valuetext", "-1°")
    yaw.press("ArrowUp")
    becomes(page, {})
    yaw.press("End")
    becomes(page, {"yaw": 45})
    size = page.locator("[data-control=scale]")
    size.press("ArrowRight")
    becomes(page, {"yaw": 45, "scale": 1.05})
    expect(size).to_have_attribute("aria-valuetext", "105%")


def test_one_control_goes_back_to_rest(page: Page) -> None:
    yaw, reset = page.locator("[data-control=yaw]"), page.get_by_role("button", name="Turn: back to rest")
    expect(reset).to_be_hidden()
    page.locator("[data-control=pitch]").fill("5")
    yaw.fill("20")
    reset.click()
    becomes(page, {"pitch": 5})
    yaw.fill("0.5")  # nearly
    becomes(page, {"pitch": 5})


def test_controls_have_peoples_words_and_unknown_ones_their_own_names(page: Page) -> None:
    expect(page.locator("[data-control]")).to_have_count(17)
    for group in ("mouth", "eyes", "others"):
        page.locator(f"[data-group={group}] > summary").click()
    assert page.locator("details[data-group]").evaluate_all("all => all.map(each => each.dataset.group)") == [
        "head", "mouth", "eyes", "brows", "others",
    ]  # fmt: skip
    expect(page.get_by_role("slider", name="Open mouth")).to_have_attribute("data-control", "jaw_open")
    expect(page.get_by_role("slider", name="Left eye")).to_have_attribute("data-control", "blink_right")  # as seen
    expect(page.get_by_role("slider", name="wiggle ears")).to_have_attribute("data-control", "wiggle_ears")


def test_the_picture_is_turned_by_hand_wheel_and_keys(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    frame = page.locator("#frame")
    page.locator("#portrait").set_input_files(portrait_file)
    expect(frame).to_have_class("steered")
    where = frame.bounding_box()
    assert where is not None
    x, y = where["x"] + where["width"] / 2, where["y"] + where["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + where["height"] / 9, y - where["height"] / 18, steps=4)
    page.mouse.up()
    assert pose(page) == pytest.approx({"yaw": 10, "pitch": 5}, abs=0.3)
    page.mouse.wheel(0, -100)  # the picture has the focus
    until(lambda: pose(page).get("scale") == pytest.approx(1.15, abs=0.01), lambda: str(pose(page)))
    page.locator("#pose-reset").click()
    becomes(page, {})
    frame.press("ArrowLeft")
    frame.press("Shift+ArrowUp")
    frame.press("+")
    becomes(page, {"yaw": -1, "pitch": 5, "scale": 1.05})
    page.keyboard.press("Control+z")
    becomes(page, {"yaw": -1, "pitch": 5})
    assert live.controls()[-1]["yaw"] == -1


PINCH = """frame => {
  const { left, top, width, height } = frame.getBoundingClientRect();
  const at = (id, type, x, y) => frame.dispatchEvent(new PointerEvent(type, {
    pointerId: id, pointerType: "touch", bubbles: true,
    clientX: left + width / 2 + x, clientY: top + height / 2 + y }));
  frame.setPointerCapture = () => {};
  at(11, "pointerdown", -50, 0); at(12, "pointerdown", 50, 0);
  at(11, "pointermove", 0, -60); at(12, "pointermove", 0, 60);
  at(11, "pointerup", 0, -60); at(12, "pointerup", 0, 60);
}"""


def test_two_fingers_bring_the_head_nearer_and_tilt_it(page: Page, portrait_file: Path) -> None:
    LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#frame")).to_have_class("steered")
    page.locator("#frame").evaluate(PINCH)
    assert pose(page) == {"scale": 1.2, "roll": 45}  # a quarter turn is more than heads do


def test_the_pose_becomes_a_job(page: Page, server: Server, portrait_file: Path) -> None:
    LiveLines(page)
    make = page.locator("#make-picture")
    expect(make).to_have_attribute("aria-disabled", "true")
    page.locator("#portrait").set_input_files(portrait_file)
    expect(make).to_have_attribute("aria-disabled", "false")
    preset(page, "up")
    preset(page, "wink")
    becomes(page, {"pitch": 9, "gaze_y": 0.5, "blink_left": 1, "smile": 0.7})
    make.click()
    until(lambda: server.queued_messages("images"), "nothing is sent")
    record = server.context.store.get(server.queued_messages("images")[0])
    assert record is not None
    spec: Any = record.spec
    assert spec.motion.controls == {"pitch": 9, "gaze_y": 0.5, "blink_left": 1, "smile": 0.7}
    assert spec.motion.relative is True
    assert spec.options.paste_back is True
    assert record.metadata["what"] == "up-wink"


def test_the_photo_can_be_another_and_keeps_the_pose(page: Page, portrait_file: Path) -> None:
    live = LiveLines(page)
    page.locator("#portrait").set_input_files(portrait_file)
    preset(page, "smile")
    expect(page.locator("#stage")).to_have_attribute("data-shows", "live")
    page.locator("#photo-menu summary").click()
    page.locator("#portrait").set_input_files(portrait_file)
    expect(page.locator("#photo-menu")).not_to_have_attribute("open", "")
    live.wait(lambda: len(live.starts()) == 2 and live.controls()[-1] == {"smile": 1})
    assert len({start["portrait_id"] for start in live.starts()}) == 2
    expect(page.locator("#stage")).to_have_attribute("data-shows", "live")

"""Take the pictures of the page anew: a real service with its released weights, in Chromium.

python -m benchmarks.page        # docs/images/page.webp and docs/images/live.webp: about four minutes
"""

import io
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, FloatRect, Locator, Page, sync_playwright

from benchmarks.live.service import service

IMAGES = Path(__file__).parents[1] / "docs/images"
DESKTOP, PHONE = (1280, 800), (390, 844)
GAP = 32  # pixels between the two
POSE = {"yaw": 6, "roll": 3, "smile": 0.8}
WAIT_MS = 120_000  # for a picture, or a video, on a slow machine

SEED = 7
FRAME_MS, CLIP_WIDTH = 40, 800
MOVE, HOLD, SEE = 8, 2, 8  # frames: to a button, on it, and of what comes of it
WORK, SPOKEN = 4, 55  # frames of the video: while it is made, and of its beginning
DRAWN = [(0.5, 0.5), (0.575, 0.49), (0.53, 0.44), (0.48, 0.53), (0.5, 0.5)]  # shares of the stage's width and height
POINTER, SMOOTH = 56, 4  # pixels; of them each is drawn as so many
ARROW = [(0, 0), (0, 20), (4.8, 15.6), (8, 23), (11.2, 21.6), (8, 14.4), (14.4, 14.4)]  # pixels from its tip
DISC, DISC_RADIUS = (20, 140, 110, 110), 13

UP_TO_DATE = """() => {
  const { sent, shown } = document.getElementById("stage").dataset;
  return shown && sent === shown;
}"""
FINISHED = "() => document.querySelector('#picture video')?.loop"  # what is still being made plays once
STILL = "(video) => { video.pause(); video.controls = false; }"  # a playing video hides its bar by itself
SEEK = """(video, seconds) => new Promise((seen) => {
  video.requestVideoFrameCallback(seen);
  video.currentTime = seconds;
})"""

Point = tuple[float, float]


def main(
    picture: Annotated[Path, typer.Option(help="The page by day, and on a phone by night.")] = IMAGES / "page.webp",
    clip: Annotated[Path, typer.Option(help="Presets pressed, the head turned, speech played.")] = IMAGES / "live.webp",
) -> None:
    """Take the picture and the clip."""
    with service(1) as running, sync_playwright() as playwright:
        installed = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        side_by_side(browser, running.url).save(picture, quality=86, method=6)
        first, *others = filmed(browser, running.url)
        first.save(clip, save_all=True, append_images=others, duration=FRAME_MS, loop=0, quality=56)


def side_by_side(browser: Browser, url: str) -> Image.Image:
    """The page on a desk and in a hand, equally high."""
    with opened(browser, url, POSE, DESKTOP) as page:
        desk = shot(page)
    with opened(browser, url, POSE, PHONE, device_scale_factor=2, is_mobile=True, color_scheme="dark") as page:
        hand = shot(page)
    hand = hand.resize((round(hand.width * desk.height / hand.height), desk.height), Image.Resampling.LANCZOS)
    both = Image.new("RGBA", (desk.width + GAP + hand.width, desk.height))
    both.paste(desk, (0, 0))
    both.paste(hand, (desk.width + GAP, 0))
    return both


@contextmanager
def opened(browser: Browser, url: str, pose: dict[str, float], size: tuple[int, int], **context: Any) -> Iterator[Page]:
    """The page when it shows the packaged portrait in a pose, live."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, locale="en", **context)
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{url}#pose={','.join(f'{name}:{value}' for name, value in pose.items())}")
    page.get_by_role("button", name="our portrait").click()
    page.mouse.move(0, 0)
    page.wait_for_function(UP_TO_DATE)
    yield page
    page.close()


def shot(page: Page) -> Image.Image:
    """What is seen, when all that fades has faded."""
    return Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")


def filmed(browser: Browser, url: str) -> list[Image.Image]:
    """Frames of the clip."""
    with opened(browser, url, {"yaw": 1}, DESKTOP) as page:
        page.locator("#speech-seed").evaluate(f"input => {{ input.value = {SEED}; }}")
        film = Film(page)
        film.press("[data-preset=surprised]")
        film.press("[data-preset=smile]")
        film.draw(DRAWN)
        film.press("#pose-reset")
        film.press("#tab-speech")
        film.press("#speech-sample")
        film.press("#speech-submit", see=WORK)
        film.play()
        return film.frames


class Film:
    """A clip of the page, whose clock stands still between frames: the machine may be as slow as it is."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.at: Point = (DESKTOP[0] * 0.6, DESKTOP[1] * 0.45)
        self.held = False
        page.clock.install()
        page.clock.pause_at(page.evaluate("Date.now() + 1000"))

    def press(self, selector: str, *, see: int = SEE) -> None:
        """Click a button, and see what comes of it."""
        box = box_of(self.page.locator(selector))
        self._move((box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6))
        self._hold(True)
        self._pass(HOLD)
        self._hold(False)
        self._pass(see)

    def draw(self, places: list[Point]) -> None:
        """Draw the pointer over the stage, from the first place to the last."""
        box = box_of(self.page.locator("#frame"))
        first, *others = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
        self._move(first)
        self._hold(True)
        for point in others:
            self._move(point)
        self._hold(False)

    def play(self) -> None:
        """Leave out the time until the video is finished, then show its beginning."""
        self.page.clock.resume()
        self.page.wait_for_function(FINISHED)
        video = self.page.locator("#picture video")
        video.evaluate(STILL)
        for number in range(SPOKEN):
            video.evaluate(SEEK, (number + 0.5) * FRAME_MS / 1000)
            self._take()

    def _move(self, to: Point) -> None:
        start = self.at
        for number in range(1, MOVE + 1):
            share = (1 - math.cos(math.pi * number / MOVE)) / 2
            self.at = (start[0] + share * (to[0] - start[0]), start[1] + share * (to[1] - start[1]))
            self.page.mouse.move(*self.at)
            self._pass(1)

    def _hold(self, held: bool) -> None:
        self.held = held
        (self.page.mouse.down if held else self.page.mouse.up)()

    def _pass(self, frames: int) -> None:
        for _ in range(frames):
            self.page.clock.run_for(FRAME_MS)
            self.page.wait_for_function(UP_TO_DATE)
            self._take()

    def _take(self) -> None:
        picture, arrow = shot(self.page), pointer(held=self.held)
        picture.paste(arrow, (round(self.at[0]) - POINTER // 2, round(self.at[1]) - POINTER // 2), arrow)
        height = round(picture.height * CLIP_WIDTH / picture.width)
        self.frames.append(picture.resize((CLIP_WIDTH, height), Image.Resampling.LANCZOS))


def box_of(element: Locator) -> FloatRect:
    """Where it is seen."""
    box = element.bounding_box()
    assert box is not None
    return box


def pointer(*, held: bool) -> Image.Image:
    """An arrow with its tip amid the picture, and a disc under it while its button is held."""
    large = Image.new("RGBA", (POINTER * SMOOTH, POINTER * SMOOTH))
    draw, tip = ImageDraw.Draw(large), POINTER * SMOOTH / 2
    if held:
        draw.circle((tip, tip), DISC_RADIUS * SMOOTH, fill=DISC)
    arrow = [(tip + x * SMOOTH, tip + y * SMOOTH) for x, y in ARROW]
    draw.polygon(arrow, fill="black")
    draw.line([*arrow, *arrow[:2]], fill="white", width=round(1.5 * SMOOTH), joint="curve")
    return large.resize((POINTER, POINTER), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    typer.run(main)

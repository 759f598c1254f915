"""A page that holds real live sessions: what goes over its lines, what it shows, and whom its camera sees."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from playwright.sync_api import Page, WebSocket

from model.arrays import Pixels
from tests.support.live import decoded
from tests.support.processes import until

GRID = slice(8, None, 16)
FILM_FPS = 10  # a third of what cameras do, which spares decoding and drawing
FAR, NEAR, NOBODY = (60, 60, 160), (160, 60, 60), (110, 110, 110)  # what is around a face
LOOK = """async (element, [first, step]) => {
  const bitmap = await createImageBitmap(element);
  const { width, height } = bitmap;
  const drawing = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  drawing.drawImage(bitmap, 0, 0);
  const { data } = drawing.getImageData(0, 0, width, height);
  const seen = [];
  for (let y = first; y < height; y += step)
    for (let x = first; x < width; x += step) seen.push(...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3));
  return `${Math.ceil((height - first) / step)},${Math.ceil((width - first) / step)},3 ${seen}`;
}"""  # as a text, which comes over faster than numbers


class Lines:
    """What a page says and is told over its lines to `/v1/live`, in order."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.said: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.pictures: list[tuple[dict[str, Any], bytes]] = []
        page.on("websocket", self._follow)

    def wait(self, condition: Callable[[], Any]) -> None:
        """Until it is so; what goes over the lines is seen meanwhile."""
        until(
            lambda: condition() or self.page.wait_for_timeout(50),
            lambda: f"said {self.said[-5:]}, told {self.told[-5:]}, {len(self.pictures)} pictures",
        )

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The messages of a type, from either end."""
        return [message for message in (*self.said, *self.told) if message["type"] == kind]

    @property
    def number(self) -> int | None:
        """That of the last picture."""
        return None if not self.pictures else self.pictures[-1][0]["number"]

    def rest(self) -> Pixels:
        """Wait for the first picture, of the face at rest."""
        self.wait(lambda: self.pictures)
        return self.newest

    def settle(self) -> Pixels:
        """Wait until the newest state is shown; its picture."""
        self.wait(lambda: self.of("controls") and self.number == self.of("controls")[-1]["number"])
        self.wait(lambda: difference(self.look(), self.newest) < 3)
        return self.newest

    @property
    def newest(self) -> Pixels:
        """The last picture, each sixteenth pixel (32, 32, 3)."""
        return decoded(self.pictures[-1][1])[GRID, GRID]

    def look(self, selector: str = "#picture canvas") -> Pixels:
        """What is shown of pictures, by default the live ones, each sixteenth pixel."""
        return self._look(selector, GRID.start, GRID.step)

    def corner(self, selector: str) -> Pixels:
        """The colour of a corner of it, which is much sooner told."""
        return self._look(selector, 8, 1 << 16)[0, 0]

    def _look(self, selector: str, first: int, step: int) -> Pixels:
        shape, seen = self.page.locator(selector).evaluate(LOOK, [first, step]).split()
        return np.array(seen.split(","), np.uint8).reshape([int(side) for side in shape.split(",")])

    def _follow(self, socket: WebSocket) -> None:
        socket.on("framesent", lambda data: self._keep(self.said, data))
        socket.on("framereceived", lambda data: self._keep(self.told, data))

    def _keep(self, kept: list[dict[str, Any]], data: str | bytes) -> None:
        if isinstance(data, str):
            kept.append(json.loads(data))
        elif kept is self.told:
            length = int.from_bytes(data[:2], "big")
            self.pictures.append((json.loads(data[2 : 2 + length]), data[2 + length :]))


def difference(one: Pixels, other: Pixels) -> float:
    """Of two pictures, in grey levels a pixel."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def write_film(path: Path, photo: Path, *, seconds: float) -> Path:
    """What a camera sees, again and again, as Y4M of 640x480 and few frames: a face for so long, the same nearer, and
    nobody. The corners tell which.
    """
    face = cv2.resize(cv2.imread(str(photo)), (480, 480))
    near = cv2.warpAffine(face, cv2.getRotationMatrix2D((216, 160), 12, 1.3), (480, 480))
    with path.open("wb") as film:
        film.write(f"YUV4MPEG2 W640 H480 F{FILM_FPS}:1 Ip A1:1 C420mpeg2\n".encode())
        for shown, surroundings in ((face, FAR), (near, NEAR), (None, NOBODY)):
            frame = np.full((480, 640, 3), surroundings[::-1], np.uint8)
            if shown is not None:
                frame[:, 80:560] = shown
            planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420).tobytes()
            film.writelines([b"FRAME\n", planes] * round(FILM_FPS * seconds))
    return path

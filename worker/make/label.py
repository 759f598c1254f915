"""The visible label of a synthetic picture, for those who look at it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from model.arrays import Pixels
from model.engines import RenderedFrame
from worker.make.canvas import Canvas

TEXT = "AI-generated"
HEIGHT = 1 / 24  # of the picture's shorter side
LEAST_PIXELS = 9


class Labelled:
    """A canvas whose every frame says in its lower left corner what it is; `canvas` paints in RGB."""

    def __init__(self, canvas: Canvas) -> None:
        self.width, self.height = canvas.width, canvas.height
        self._canvas = canvas
        self._label = _label(canvas.width, canvas.height)

    def paste(self, animated: RenderedFrame) -> Pixels:
        """One frame of the result with the label on it, uint8 (height, width, 3)."""
        frame = self._canvas.paste(animated).copy()
        height, width = self._label.shape
        corner = frame[-height:, :width]
        corner[:] = (corner // 4 + self._label[:, :, None].astype(np.uint16) * (255 - corner // 4) // 255).astype(
            np.uint8
        )
        return frame


def _label(width: int, height: int) -> Pixels:
    """White text on nothing: how opaque it is at each pixel, uint8 (h, w), of at most the frame's size."""
    size = max(LEAST_PIXELS, round(HEIGHT * min(width, height)))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(TEXT)
    margin = size / 2
    image = Image.new("L", (round(right - left + 2 * margin), round(bottom - top + 2 * margin)))
    ImageDraw.Draw(image).text((margin - left, margin - top), TEXT, fill=255, font=font)
    return np.array(image)[:height, :width]

"""Sheets of captioned pictures; the demo's shows before and after, and frames of the video."""

from collections.abc import Sequence
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageOps

CELL = 256
GAP = 12
CAPTION = 20
FRAMES = 5
GROUND = (250, 248, 244)
INK = (29, 35, 33)


def video_frames(path: Path, count: int) -> list[tuple[float, Image.Image]]:
    """`count` frames spread evenly over a video, with their times in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        total = stream.frames or 1
        wanted = sorted({round(index * (total - 1) / max(1, count - 1)) for index in range(count)})
        return [
            (float(frame.time or 0), frame.to_image())  # type: ignore[no-untyped-call]
            for number, frame in enumerate(container.decode(stream))
            if number in wanted
        ]


def contact_sheet(portrait: Path, posed: Path, pose: str, video: Path) -> Image.Image:
    """First row: the portrait and the posed image; second: frames of the video."""
    with Image.open(portrait) as before, Image.open(posed) as after:
        first = [("the portrait", ImageOps.exif_transpose(before)), (pose, after.copy())]
    second = [(f"{time:.1f} s", frame) for time, frame in video_frames(video, FRAMES)]
    return captioned([first, second])


def captioned(rows: Sequence[Sequence[tuple[str, Image.Image]]], *, cell: int = CELL, gap: int = GAP) -> Image.Image:
    """Rows of pictures, each fitted into a square of `cell` pixels with its caption below."""
    width = gap + max(len(row) for row in rows) * (cell + gap)
    sheet = Image.new("RGB", (width, gap + len(rows) * (cell + CAPTION + gap)), GROUND)
    draw = ImageDraw.Draw(sheet)
    for row, cells in enumerate(rows):
        for column, (caption, image) in enumerate(cells):
            x, y = gap + column * (cell + gap), gap + row * (cell + CAPTION + gap)
            fitted = ImageOps.contain(image.convert("RGB"), (cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(fitted, (x + (cell - fitted.width) // 2, y + (cell - fitted.height) // 2))
            draw.text((x, y + cell + 4), caption, fill=INK)
    return sheet

"""The contact sheet of the demo: before and after, and frames of the video."""

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
            (float(frame.time or 0), frame.to_image())
            for number, frame in enumerate(container.decode(stream))
            if number in wanted
        ]


def contact_sheet(portrait: Path, posed: Path, pose: str, video: Path) -> Image.Image:
    """First row: the portrait and the posed image; second: frames of the video."""
    with Image.open(portrait) as before, Image.open(posed) as after:
        first = [("the portrait", ImageOps.exif_transpose(before)), (pose, after.copy())]
    second = [(f"{time:.1f} s", frame) for time, frame in video_frames(video, FRAMES)]
    width = GAP + FRAMES * (CELL + GAP)
    height = GAP + 2 * (CELL + CAPTION + GAP)
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    for row, cells in enumerate((first, second)):
        for column, (caption, image) in enumerate(cells):
            x, y = GAP + column * (CELL + GAP), GAP + row * (CELL + CAPTION + GAP)
            cell = ImageOps.contain(image.convert("RGB"), (CELL, CELL), Image.Resampling.LANCZOS)
            sheet.paste(cell, (x + (CELL - cell.width) // 2, y + (CELL - cell.height) // 2))
            draw.text((x, y + CELL + 4), caption, fill=INK)
    return sheet

"""The mark of synthetic pictures, read back by readers that did not write it: OpenCV for images, FFmpeg for videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest

from model.engines import RenderedFrame
from worker.make.label import Labelled
from worker.media.images import encode_image
from worker.media.mp4 import mp4_writer

SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
GREY = np.full((64, 80, 3), 120, np.uint8)


def source_type(packet: bytes) -> str | None:
    """The digital source type an XMP packet tells."""
    text = packet[packet.index(b"<x:xmpmeta") : packet.index(b"</x:xmpmeta>") + len(b"</x:xmpmeta>")]
    return ElementTree.fromstring(text).find(f".//{RDF}Description").get(f"{IPTC}DigitalSourceType")  # type: ignore[union-attr]


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_an_image_says_that_it_is_synthetic(tmp_path: Path, image_format: Literal["png", "jpeg", "webp"]) -> None:
    path = tmp_path / f"a.{image_format}"
    path.write_bytes(encode_image(GREY, image_format))
    image, kinds, packets = cv2.imreadWithMetadata(str(path))
    assert image.shape == GREY.shape
    assert list(kinds) == [cv2.IMAGE_METADATA_XMP]
    assert source_type(np.asarray(packets[0]).tobytes()) == SOURCE


def test_a_video_says_that_it_is_synthetic(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with mp4_writer(path, width=80, height=64, fps=25) as writer:
        for _ in range(3):
            writer.write(GREY)
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        assert source_type(container.metadata["xmp"].encode()) == SOURCE
        assert sum(1 for _ in container.decode(video=0)) == 3
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat") < data.index(b"uuid")  # it still starts before it is whole


@dataclass
class Shows:
    """Shows the crop as it is."""

    width: int
    height: int

    def paste(self, animated: RenderedFrame) -> np.ndarray:
        return animated.image


@pytest.mark.parametrize(("width", "height"), [(256, 256), (640, 480), (64, 64), (48, 30)])
def test_the_label_is_seen_in_its_corner_and_nowhere_else(width: int, height: int) -> None:
    crop = np.full((height, width, 3), 120, np.uint8)
    plain = Shows(width, height)
    labelled = Labelled(plain)
    first, again = labelled.paste(RenderedFrame(crop)), labelled.paste(RenderedFrame(crop))
    assert first.shape == plain.paste(RenderedFrame(crop)).shape == (height, width, 3)
    assert (first == again).all()
    assert (crop == 120).all()
    changed = (first != 120).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.max() == height - 1
    assert columns.min() == 0
    if width > 100:
        assert rows.min() > height * 0.85
        assert columns.max() < width * 0.5
        assert first[changed].max() > 220  # white letters

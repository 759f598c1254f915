"""Good inputs, and hypothesis strategies that spoil them."""

import functools
import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from hypothesis import strategies as st
from PIL import Image

from service.http.examples import EXAMPLES
from tests.support.heif import heic
from tests.support.hostile import encoded
from tests.support.paths import ROOT

SIZE = (224, 224)
PORTRAIT = ROOT / "service" / "samples" / "portrait.jpg"
PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\r\n", b'"', b"\\", b"{"]
    ),
    st.integers(0, 2**32 - 1).map(functools.partial(struct.pack, ">I")),
    st.integers(0, 2**32 - 1).map(functools.partial(struct.pack, "<I")),
)
EDITS: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "overwrite": lambda data, at, piece: data[:at] + piece + data[at + len(piece) :],
    "insert": lambda data, at, piece: data[:at] + piece + data[at:],
    "drop": lambda data, at, piece: data[:at] + data[at + max(1, len(piece)) :],
    "repeat": lambda data, at, piece: data[: at + 64] + data[at:],
    "cut": lambda data, at, piece: data[:at],
}


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with up to eight edits, half of them in its first bytes, where headers are; maybe none."""
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 3, 8]))):
        edit = EDITS[draw(st.sampled_from([*EDITS, "overwrite", "overwrite"]))]
        reach = min(len(data), 256) if draw(st.booleans()) else len(data)
        data = edit(data, draw(st.integers(0, reach)), draw(PIECES))
    return with_checksums(data) if data.startswith(b"\x89PNG") and draw(st.booleans()) else data


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks say the right checksums, so that what was changed in them is looked at."""
    fixed, at = bytearray(data), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + size > len(data):
            break
        fixed[at + 8 + size : at + 12 + size] = struct.pack(">I", zlib.crc32(data[at + 4 : at + 8 + size]))
        at += 12 + size
    return bytes(fixed)


@functools.cache
def pictures() -> list[bytes]:
    """A face as JPEG, PNG, WebP, AVIF and HEIC, and a PNG with everything a header can say."""
    face = _face()
    profile = b"".join((b"\0\0\1\xb8", b"\0" * 124))
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    options: list[tuple[str, dict[str, object]]] = [
        ("JPEG", {"exif": turned}), ("PNG", {}), ("WEBP", {}), ("PNG", {"icc_profile": profile, "dpi": (72, 72)}),
        ("JPEG", {"progressive": True}), ("WEBP", {"lossless": True}), ("AVIF", {"speed": 10}),
    ]  # fmt: skip
    found = [encoded(face, form, **given) for form, given in options]
    return [*found, encoded(face.convert("P"), "PNG"), heic(np.asarray(face), turns=1, tiles=(2, 2))]


@functools.cache
def sounds() -> list[bytes]:
    """A third of a second in each format."""
    samples = np.random.default_rng(0).normal(0, 0.1, 5000)
    found = []
    for form in ("WAV", "MP3", "FLAC", "OGG"):
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, 16_000, format=form)
        found.append(buffer.getvalue())
    return found


@functools.cache
def videos() -> list[bytes]:
    """Four frames of a face as MP4 and WebM."""
    face = np.asarray(_face())
    found = []
    for form, codec in (("mp4", "libx264"), ("webm", "libvpx")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"a.{form}"
            with av.open(str(path), "w") as container:
                stream = container.add_stream(codec, rate=25)
                assert isinstance(stream, av.VideoStream)
                stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
                for shift in range(4):
                    frame = av.VideoFrame.from_ndarray(np.roll(face, shift, 1), format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
            found.append(path.read_bytes())
    return found


def texts(*schemas: str) -> st.SearchStrategy[bytes]:
    """JSON of the examples of some schemas, spoiled as bytes or with values of it replaced, or any JSON at all."""
    examples = [json.dumps(example).encode() for schema in schemas for example in EXAMPLES[schema]]
    whole = st.sampled_from(examples)
    anything = _values().map(lambda value: json.dumps(value).encode())
    return st.one_of(whole, whole.flatmap(spoiled), whole.flatmap(with_a_value_replaced), anything)


def with_a_value_replaced(text: bytes) -> st.SearchStrategy[bytes]:
    """The JSON with any one of its values replaced by any other."""
    return st.builds(_replaced, st.just(text), st.integers(0, 63), _values())


def _values() -> st.SearchStrategy[Any]:
    numbers = st.floats() | st.integers() | st.sampled_from([1e400, -0.0, 2**63, 10**400])
    return st.recursive(
        st.none() | st.booleans() | numbers | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )


def _replaced(text: bytes, number: int, value: object) -> bytes:
    """The JSON with one of its values, the `number`th from the outside, replaced."""
    document = json.loads(text)
    places: list[tuple[Any, str | int]] = []
    found: list[object] = [document]
    for each in found:
        items = each.items() if isinstance(each, dict) else enumerate(each) if isinstance(each, list) else ()
        for key, inner in items:
            places.append((each, key))
            found.append(inner)
    if places:
        holder, key = places[number % len(places)]
        holder[key] = value
    return json.dumps(document).encode()


def _face() -> Image.Image:
    with Image.open(PORTRAIT) as photo:
        return photo.convert("RGB").crop((80, 0, 450, 370)).resize(SIZE)

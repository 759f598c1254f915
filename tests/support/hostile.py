"""Files and texts that mean harm or are merely broken, made from small good ones; always the same ones."""

import io
import json
import random
import struct
import tempfile
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

Named = tuple[str, bytes]

TRUNCATIONS = 40
FLIPS = 160


def images() -> Iterator[Named]:
    """For fields that take a JPEG, PNG or WebP."""
    for form in ("JPEG", "PNG", "WEBP"):
        yield from _spoiled(form.lower(), _picture(form))
    yield from _odd_pictures()
    yield from _liars()
    yield from _noise((b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP"))


def sounds() -> Iterator[Named]:
    """For fields that take sound."""
    samples = np.random.default_rng(0).normal(0, 0.1, 4000)
    for form in ("WAV", "FLAC", "OGG", "MP3"):
        yield from _spoiled(form.lower(), _sound(samples, form))
    wav = _sound(samples, "WAV")
    for name, offset, layout, value in (
        ("no channels", 22, "<H", 0), ("65535 channels", 22, "<H", 65535), ("rate 0", 24, "<I", 0),
        ("rate 2^32-1", 24, "<I", 2**32 - 1), ("0 bits", 34, "<H", 0), ("4 GiB of data", 40, "<I", 2**32 - 1),
        ("no data", 40, "<I", 0),
    ):  # fmt: skip
        yield f"wav: {name}", wav[:offset] + struct.pack(layout, value) + wav[offset + struct.calcsize(layout) :]
    for name, level in (("NaN", np.nan), ("infinity", np.inf), ("1e38", 1e38)):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.full(4000, level), 16_000, format="WAV", subtype="FLOAT")
        yield f"wav: {name}", buffer.getvalue()
    yield from _noise((b"RIFF\x40\0\0\0WAVEfmt ", b"fLaC", b"OggS", b"ID3\x04\0\0"))


def videos() -> Iterator[Named]:
    """For fields that take a video."""
    video = _video()
    yield from _spoiled("mp4", video)
    yield from _spoiled("webm", _video("webm", "libvpx"))
    yield "mp4: 100 streams", _many_streams(100)
    yield "mp4: no duration", video.replace(b"stts", b"sttx")
    yield "mp4: absurd size", video.replace(struct.pack(">HH", 64, 48), struct.pack(">HH", 65535, 65535))
    yield from _noise((b"\0\0\0\x20ftypisom", b"\x1a\x45\xdf\xa3"))


def motions() -> Iterator[Named]:
    """For fields that take JSON."""
    texts = {
        "NaN": '{"controls": {"yaw": NaN}}', "infinity": '{"controls": {"yaw": -Infinity}}',
        "1e400": '{"controls": {"yaw": 1e400}}', "long number": '{"controls": {"yaw": %s}}' % ("9" * 100_000),
        "deep lists": "[" * 100_000, "deep objects": '{"a":' * 100_000, "closed deep lists": "[" * 9_000 + "]" * 9_000,
        "many controls": json.dumps({"controls": {f"c{number}": 0 for number in range(100_000)}}),
        "long name": json.dumps({"controls": {"y" * 1_000_000: 0}}), "null": "null", "empty": "", "number": "7",
        "text": '"yaw"', "half a surrogate": '{"space": "\\ud800", "controls": {}}',
        "zero byte": '{"space": "\\u0000"}',
        "twice": '{"controls": {"yaw": 1}, "controls": {"yaw": "2"}}', "byte order": "\ufeff{}", "comment": "/**/{}",
        "many frames": json.dumps({"space": "open478", "frames": [[0.0]] * 50_000}),
        "wide frame": json.dumps({"space": "open478", "frames": [[0.0] * 100_000]}),
        "backwards": '{"keyframes": [{"t": 1, "controls": {}}, {"t": 0, "controls": {}}]}',
        "proto": '{"__proto__": {"controls": {}}, "constructor": 1}',
    }  # fmt: skip
    yield from ((name, text.encode("utf-8", "surrogatepass")) for name, text in texts.items())
    yield "not UTF-8", b'{"space": "\xff\xfe"}'
    yield "UTF-16", '{"controls": {}}'.encode("utf-16")
    yield from _spoiled("motion", b'{"space": "open478", "controls": {"yaw": 20}, "relative": true}')


def _spoiled(name: str, data: bytes) -> Iterator[Named]:
    """Cut off at many places, and with bytes changed at others; first of all as it is."""
    chance = random.Random(name)
    yield name, data
    for part in range(TRUNCATIONS):
        yield f"{name}: cut at {part}/{TRUNCATIONS}", data[: 1 + len(data) * part // TRUNCATIONS]
    for number in range(FLIPS):
        spoiled = bytearray(data)
        for _ in range(1 + number % 5):
            # headers are small and matter most
            where = chance.randrange(min(len(data), 200) if number % 2 else len(data))
            spoiled[where] = chance.choice((0, 0x7F, 0xFF, chance.randrange(256)))
        yield f"{name}: changed {number}", bytes(spoiled)


def _noise(heads: tuple[bytes, ...]) -> Iterator[Named]:
    chance = random.Random(7)
    for head in heads:
        for length in (0, 1, 40, 400, 4000, 40_000):
            yield f"noise after {head!r}: {length}", head + chance.randbytes(length)


def _picture(form: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def _odd_pictures() -> Iterator[Named]:
    yield "1x1", _picture("PNG", size=(1, 1))
    yield "1x65000", _picture("JPEG", size=(1, 65_000))
    yield "100000x1", _picture("PNG", size=(100_000, 1))
    yield "1x100000", _picture("PNG", size=(1, 100_000))
    yield "CMYK", _picture("JPEG", "CMYK")
    yield "grey", _picture("JPEG", "L")
    yield "one bit", _picture("PNG", "1")
    yield "palette", _picture("PNG", "P")
    yield "alpha", _picture("PNG", "RGBA")
    yield "16 bits", encoded(Image.fromarray(np.full((48, 64), 40_000, np.uint16)), "PNG")
    for form in ("PNG", "WEBP"):
        yield f"animated {form}", _animation(form)
    yield "huge EXIF", _picture("JPEG", exif=b"Exif\0\0MM\0*" + bytes(60_000))
    yield "broken EXIF", _picture("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    yield "broken profile", _picture("PNG", icc_profile=b"\0" * 200)


def _liars() -> Iterator[Named]:
    """What is not what it says, or unfolds to more than it seems."""
    yield "SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    yield "SVG as PNG", b"\x89PNG\r\n\x1a\n<svg xmlns='http://www.w3.org/2000/svg'/>"
    yield "JPEG and ZIP", _picture("JPEG") + b"PK\x03\x04" + bytes(100) + b"PK\x05\x06" + bytes(18)
    yield "PNG and HTML", _picture("PNG") + b"<html><script>alert(1)</script></html>"
    yield "PNG in a JPEG's place", _picture("PNG")
    for name, width, height in (("0x0", 0, 0), ("2^31-1", 2**31 - 1, 2**31 - 1), ("30000x30000", 30_000, 30_000)):
        yield f"PNG of {name}", _png(width, height, zlib.compress(bytes(1000)))
    yield "PNG whose rows are a bomb", _png(64, 48, zlib.compress(bytes(100_000_000), 9))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    profile = chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(50_000_000), 9))
    yield "PNG whose text is a bomb", _png(64, 48, zlib.compress(bytes(48 * 193)), text)
    yield "PNG whose profile is a bomb", _png(64, 48, zlib.compress(bytes(48 * 193)), profile)
    animation = bytearray(_animation("WEBP"))
    for name, width, height in (("16383x16383", 16_383, 16_383), ("2^24 x 255", 2**24, 255)):
        animation[24:30] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        yield f"WebP animation of {name}", bytes(animation)
    yield "JPEG of 65535x65535", _picture("JPEG").replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65535, 65535))


def _animation(form: str) -> bytes:
    frames = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in range(0, 250, 25)]
    return encoded(frames[0], form, save_all=True, append_images=frames[1:])


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, rows: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _sound(samples: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format=form)
    return buffer.getvalue()


def _video(form: str = "mp4", codec: str = "libx264") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{form}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(25))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for shade in range(8):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * shade, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _many_streams(count: int) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        with av.open(str(path), "w") as container:
            streams = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(count)]
            for stream in streams:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate = 16_000
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        return path.read_bytes()

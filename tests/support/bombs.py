"""Uploads that cost more than they weigh: each is small or lawful to look at, and asks for memory or time when read.

Each function takes a `share` of 0..1 of the most that the form takes.
"""

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

from tests.support.hostile import chunk, encoded

MIB = 1 << 20
PHOTO_BYTES, PHOTO_PIXELS, SOUND_BYTES, VIDEO_BYTES, MOTION_BYTES = 19 * MIB, 49_000_000, 49 * MIB, 60 * MIB, 15 * MIB
SMALL = (64, 64)


def side(share: float) -> int:
    """Of a square photo."""
    return max(64, int((share * PHOTO_PIXELS) ** 0.5))


# Photos


def jpeg_of_segments(segment: bytes) -> Callable[[float], bytes]:
    """One of these thousands of times before the picture begins."""

    def make(share: float) -> bytes:
        jpeg = encoded(Image.new("RGB", SMALL), "JPEG")
        return jpeg[:2] + segment * int(share * PHOTO_BYTES / len(segment)) + jpeg[2:]

    return make


def png_of_chunks(kind: bytes, data: bytes = b"") -> Callable[[float], bytes]:
    """The same chunk thousands of times before the picture begins."""

    def make(share: float) -> bytes:
        one = chunk(kind, data)
        return _png(*SMALL, 2, 3, more=one * int(share * PHOTO_BYTES / len(one)))

    return make


def png_flat(colour: int, channels: int, depth: int = 8) -> Callable[[float], bytes]:
    """A huge picture of nothing, which is a few kilobytes."""
    return lambda share: _png(side(share), side(share), colour, channels * depth // 8, depth=depth)


def png_with(kind: bytes, before: bytes) -> Callable[[float], bytes]:
    """A small picture with a compressed text or profile that unfolds to hundreds of megabytes."""

    def make(share: float) -> bytes:
        packer = zlib.compressobj(9)
        block = bytes(MIB)
        bomb = b"".join(packer.compress(block) for _ in range(int(share * 300))) + packer.flush()
        return _png(*SMALL, 2, 3, more=chunk(kind, before + bomb))

    return make


def photo(form: str, mode: str, **options: object) -> Callable[[float], bytes]:
    """A lawful photo as large as may be."""
    return lambda share: encoded(Image.new(mode, (side(share), side(share))), form, **options)


def webp_flat(share: float) -> bytes:
    """As large as the format allows and we do."""
    return encoded(Image.new("RGBA", (16_000, max(1, int(share * PHOTO_PIXELS / 16_000)))), "WEBP", lossless=True)


def jpeg_of_scans(share: float) -> bytes:
    """A progressive JPEG whose scans are empty: all of the picture is gone over for each."""
    return scans(side(share), int(share * PHOTO_BYTES / 100))


def scans(side: int, count: int) -> bytes:
    """A progressive grey JPEG of so many scans in which nothing is said: 75 bytes each, and milliseconds to decode."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    def packed(bits: str) -> bytes:
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")

    blocks = ((side + 7) // 8) ** 2
    one_code = bytes([1] + [0] * 15)  # Huffman tables of a single code, which is 0
    levels = segment(0xDA, b"\1\1\0\0\0\0") + packed("0" * blocks)  # no block differs from the one before
    nothing = "0" + "1" * 14  # for 32767 blocks
    empty = segment(0xDA, b"\1\1\0\1\1\0") + packed(nothing * (blocks // 32767 + 1))
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, b"\0" + b"\1" * 64),
            segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0"),
            segment(0xC4, b"\x00" + one_code + b"\0"),
            segment(0xC4, b"\x10" + one_code + b"\xe0"),  # a run of 2^14 blocks and what 14 more bits say
            levels,
            empty * count,
            b"\xff\xd9",
        )
    )


PHOTOS: dict[str, Callable[[float], bytes]] = {
    "JPEG of empty APP segments": jpeg_of_segments(b"\xff\xef\0\2"),
    "JPEG of empty comments": jpeg_of_segments(b"\xff\xfe\0\2"),
    "JPEG of fill bytes": jpeg_of_segments(b"\xff"),
    "JPEG of MPF segments": jpeg_of_segments(b"\xff\xe2\0\x08MPF\0\0\0"),
    "JPEG of EXIF segments": jpeg_of_segments(b"\xff\xe1\0\x10Exif\0\0MM\0*\0\0\0\x08"),
    "JPEG of scans": jpeg_of_scans,
    "JPEG, grey": photo("JPEG", "L"),
    "JPEG": photo("JPEG", "RGB"),
    "JPEG, CMYK": photo("JPEG", "CMYK"),
    "JPEG, progressive": photo("JPEG", "RGB", progressive=True, subsampling=0),
    "PNG of empty chunks": png_of_chunks(b"aaAa"),
    "PNG of texts": png_of_chunks(b"tEXt", b"k\0"),
    "PNG, flat": png_flat(2, 3),
    "PNG, flat, alpha": png_flat(6, 4),
    "PNG, flat, 16 bits": png_flat(6, 4, 16),
    "PNG, flat, grey": png_flat(0, 1),
    "PNG, flat, grey and alpha": png_flat(4, 2),
    "PNG whose text unfolds": png_with(b"zTXt", b"Comment\0\0"),
    "PNG whose profile unfolds": png_with(b"iCCP", b"profile\0\0"),
    "WebP, flat": webp_flat,
}


# Sounds


def flac_of_silence(share: float) -> bytes:
    """Hours in a few kilobytes."""
    return _sound("FLAC", lambda file: [file.write(np.zeros((48_000, 2), np.int16)) for _ in range(int(share * 3000))])


def wav_of_channels(share: float) -> bytes:
    """As much as there may be of it, in eight channels at a high rate."""
    frames = int(share * SOUND_BYTES / 16)
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 16 * frames, b"WAVE", b"fmt ", 16, 1, 8, 192_000,
                         192_000 * 16, 16, 16, b"data", 16 * frames)  # fmt: skip
    return header + bytes(16 * frames)


def ogg_of_comments(share: float) -> bytes:
    """A header of comments before the sound."""
    ogg = _sound("OGG", lambda file: file.write(np.zeros((4000, 2), np.int16)))
    return ogg[:58] + bytes(int(share * SOUND_BYTES)) + ogg[58:]


def tagged_au(share: float) -> bytes:
    """An ID3 tag, which looks like MP3, before a file of another kind."""
    size = int(share * 100_000)
    tag = b"ID3\4\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    return tag + struct.pack(">4sIIIII", b".snd", 24, 0xFFFFFFFF, 3, 16_000, 1) + bytes(32_000)


SOUNDS: dict[str, Callable[[float], bytes]] = {
    "FLAC of silence": flac_of_silence,
    "WAV of eight channels": wav_of_channels,
    "OGG of comments": ogg_of_comments,
    "AU after an ID3 tag": tagged_au,
}


# Videos


def video_of_png(share: float) -> bytes:
    """A codec nobody films with, whose later frames are far larger than the first."""
    return _muxed("mov", "png", "rgb24", [_png(*SMALL, 2, 3)] * 3 + [_png(int(share * 16_000), 16_000, 2, 3)] * 2)


def video_of_jpeg(share: float) -> bytes:
    """Motion JPEG, whose later frames are far larger than the first."""
    large = encoded(Image.new("RGB", (int(64 + share * 15_000), 16_000)), "JPEG")
    return _muxed("mov", "mjpeg", "yuvj420p", [encoded(Image.new("RGB", SMALL), "JPEG")] * 3 + [large] * 2)


def video_of_frames(share: float) -> bytes:
    """As many frames a second as a container can tell of."""
    first, other = _h264(SMALL, 2)
    return _muxed("mp4", "libx264", "yuv420p", [first] + [other] * int(share * 100_000), step=Fraction(1, 10_000))


def video_of_4k(share: float) -> bytes:
    """As large as frames may be, of nothing, for as long as may be."""
    first, other = _h264((3840, 2160), 2)
    frames = [first] + [other] * int(share * 100)
    return _muxed("mp4", "libx264", "yuv420p", frames, step=Fraction(1, 25), size=(3840, 2160))


def video_growing(share: float) -> bytes:
    """H.264 whose size changes in the middle."""
    small, large = _h264(SMALL, 1), _h264((16, int(64 + share * 8000)), 1)
    return _muxed("ts", "libx264", "yuv420p", [*small, *large] * 4)


def video_of_scans(share: float) -> bytes:
    """Motion JPEG whose later pictures have thousands of empty scans."""
    small = encoded(Image.new("RGB", SMALL), "JPEG")
    return _muxed("mov", "mjpeg", "yuvj420p", [small] * 3 + [jpeg_of_scans(share)] * 2)


VIDEOS: dict[str, Callable[[float], bytes]] = {
    "MOV of PNG": video_of_png,
    "MOV of JPEG": video_of_jpeg,
    "MOV of scans": video_of_scans,
    "MP4 of many frames": video_of_frames,
    "MP4 of 4K": video_of_4k,
    "MPEG-TS that grows": video_growing,
}


# Texts


def frames_of(number: str, width: int) -> Callable[[float], bytes]:
    """Frames of the same number: too many, too long or of the wrong kind."""

    def make(share: float) -> bytes:
        row = "[" + ",".join([number] * width) + "]"
        rows = max(1, int(share * MOTION_BYTES / (len(row) + 1)))
        return ('{"space":"open478","frames":[' + ",".join([row] * rows) + "]}").encode()

    return make


def repeated(before: str, item: str, after: str) -> Callable[[float], bytes]:
    """JSON with one item as often as it fits."""
    return lambda share: (before + ",".join([item] * int(share * MOTION_BYTES / (len(item) + 1))) + after).encode()


MOTIONS: dict[str, Callable[[float], bytes]] = {
    "frames of texts": frames_of('""', 511),
    "frames out of range": frames_of("999", 512),
    "frames of ones": frames_of("1", 512),
    "frames of one": frames_of("1", 1),
    "frames of long numbers": frames_of("0." + "1" * 300, 70),
    "one wide frame": repeated('{"space":"open478","frames":[[', "1", "]]}"),
    "lists in a frame": repeated('{"space":"open478","frames":[[', "[]", "]]}"),
    "objects nobody knows": repeated('{"space":"open478","controls":{},"x":[', "{}", "]}"),
    "keyframes of nothing": repeated('{"space":"open478","keyframes":[', "{}", "]}"),
    "confidence of texts": repeated('{"space":"open478","frames":[[0]],"confidence":[', '""', "]}"),
    "shots of nothing": repeated('{"space":"open478","frames":[[0]],"shots":[', "{}", "]}"),
    "controls": lambda share: json.dumps(
        {"controls": {f"{n:x}": 0 for n in range(int(share * MOTION_BYTES / 14))}}
    ).encode(),
    "depth": lambda share: b"[" * int(share * MOTION_BYTES),
    "one long text": lambda share: b'{"space":"' + b"x" * int(share * MOTION_BYTES) + b'"}',
    "one long number": lambda share: b'{"controls":{"yaw":' + b"9" * int(share * MOTION_BYTES) + b"}}",
}


def _png(width: int, height: int, colour: int, pixel_bytes: int, *, depth: int = 8, more: bytes = b"") -> bytes:
    """A black picture, packed row by row."""
    packer = zlib.compressobj(9)
    row = bytes(1 + width * pixel_bytes)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _sound(form: str, fill: Callable[[soundfile.SoundFile], object]) -> bytes:
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", 48_000, 2, format=form) as file:
        fill(file)
    return buffer.getvalue()


def _h264(size: tuple[int, int], count: int) -> list[bytes]:
    """So many pictures of nothing: the first can be decoded by itself."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, 25)
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    packets: list[bytes] = []
    for number in range(count):
        frame = av.VideoFrame.from_ndarray(np.zeros((size[1] * 3 // 2, size[0]), np.uint8), format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def _muxed(
    form: str,
    codec: str,
    pixels: str,
    packets: Iterable[bytes],
    *,
    step: Fraction = Fraction(1, 25),
    size: tuple[int, int] = SMALL,
) -> bytes:
    """Pictures that are encoded already in a container, `step` seconds apart."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{form}"
        with av.open(str(path), "w", format="mpegts" if form == "ts" else form) as container:
            stream = container.add_stream(codec, rate=1 / step)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = *size, pixels
            for number, data in enumerate(packets):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, step
                packet.pts = packet.dts = number
                container.mux(packet)
        return path.read_bytes()

"""Videos as they are encoded, and in pieces: fragments of MP4 that players join as they come, and we do in the end.

H.264 yuv420p in BT.709 (tagged so) and AAC sound, which browsers play. Fragments stand on their own: each begins with a
picture that needs no other, and its bytes depend on nothing but what is in it, so that any process may write any. Times
count from the start of the video. Decoding starts before showing, by the pictures that others wait for and by the
priming of the sound; an edit list at the front tells by how much, as in the MP4 that is made of them.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from model.arrays import Pixels
from worker.media.marking import mark_mp4
from worker.media.planes import yuv_frame
from worker.media.sound_track import PRIMING, PRIMING_ALONE, SoundFormat, SoundPackets, SoundTrack

# On talking heads as near to the frames as "veryfast" at a crf of 18, in two thirds of its time and twice the bytes.
PRESET, CRF = "superfast", 20
PIXELS_OF_A_THREAD = 2**19  # what an encoder's thread has to do; their number, and so the bytes, depend on nothing else
REORDERED = 2  # pictures by which decoding is ahead of showing, with the B-frames of the preset
AAC_CODEC = "mp4a.40.2"
BLOCK = 1 << 16  # bytes read at once


@dataclass(frozen=True)
class StreamFormat:
    """What all fragments of a video have in common. Sides in pixels, even."""

    width: int
    height: int
    fps: Fraction
    sound: SoundFormat | None = None

    def __post_init__(self) -> None:
        """Refuse odd sides: yuv420p has one colour sample for 2 x 2 pixels. Raises ValueError."""
        if self.width % 2 or self.height % 2:
            raise ValueError(f"a video of {self.width} x {self.height}; both sides must be even")

    @cached_property
    def codecs(self) -> str:
        """What a player must know, in the words of RFC 6381."""
        with av.open(io.BytesIO(), "w", format="mp4") as container:
            context = PictureTrack(container, self).stream.codec_context
            context.open()
            parameters = context.extradata.index(b"\x67") + 1  # SPS: profile, constraints, level
            picture = f"avc1.{context.extradata[parameters : parameters + 3].hex()}"
        return picture if self.sound is None else f"{picture}, {AAC_CODEC}"


@dataclass(frozen=True)
class Fragments:
    """A whole video in pieces: its beginning, its fragments in order, and how many frames they have."""

    init: Path
    paths: Sequence[Path]
    form: StreamFormat
    frames: int

    def open(self) -> Any:
        """All of it as one file: an av.container.InputContainer, to be closed by the caller."""
        return av.open(_Joined([self.init, *self.paths]), "r", format="mp4")

    def pictures(self) -> Iterator[Any]:
        """Its frames, decoded one by one: av.VideoFrame."""
        with self.open() as whole:
            whole.streams.video[0].thread_type = "AUTO"
            yield from whole.decode(video=0)


class Encoded(NamedTuple):
    """What of a video is in a file that was encoded from its fragments."""

    frames: int
    fps: Fraction


def frame_rate(fps: float) -> Fraction:
    """The rate a video has that is to have so many frames a second: such that times in it are exact."""
    return Fraction(fps).limit_denominator(1001)


def tag_colours(context: Any) -> None:
    """Say of an encoder's pictures that they are in BT.709, limited range."""
    context.colorspace = Colorspace.ITU709
    context.color_primaries = ColorPrimaries.BT709
    context.color_trc = ColorTrc.BT709
    context.color_range = ColorRange.MPEG


def threads_for(form: StreamFormat) -> int:
    """How many threads encode a video."""
    return 1 + form.width * form.height // PIXELS_OF_A_THREAD


class PictureTrack:
    """Encodes pictures for a file that is being written, in order."""

    def __init__(self, container: Any, form: StreamFormat, *, crf: int = CRF) -> None:
        self.frames = 0
        self._form = form
        options = {"crf": str(crf), "preset": PRESET, "threads": str(threads_for(form))}
        self.stream: Any = container.add_stream("libx264", rate=form.fps, options=options)
        self.stream.width, self.stream.height, self.stream.pix_fmt = form.width, form.height, "yuv420p"
        self.stream.codec_context.time_base = 1 / form.fps
        tag_colours(self.stream.codec_context)

    def encode(self, picture: Pixels) -> list[Any]:
        """Packets that are done, one frame later: RGB (H, W, 3) or yuv420p (H * 3 / 2, W), see `yuv_frame`.

        Of RGB, what is over the sides of the video is cut off.
        """
        frame = yuv_frame(picture if picture.ndim == 2 else picture[: self._form.height, : self._form.width])
        frame.pts, frame.time_base = self.frames, 1 / self._form.fps
        self.frames += 1
        packets: list[Any] = self.stream.encode(frame)
        return packets

    def finish(self) -> list[Any]:
        """What the encoder still holds."""
        packets: list[Any] = self.stream.encode(None)
        return packets


class FragmentWriter:
    """Takes the pictures of a fragment in order. Made by `fragment_writer`."""

    def __init__(self, container: Any, form: StreamFormat, *, first_frame: int) -> None:
        self._container = container
        self._track = PictureTrack(container, form)
        self._first = self._next = first_frame

    def write(self, picture: Pixels) -> None:
        """Append one frame: RGB, uint8 (height, width, 3), or yuv420p, uint8 (height * 3 / 2, width)."""
        self._mux(self._track.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._mux(self._track.finish())

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.pts += self._first + REORDERED
            packet.dts = self._next  # the encoder's own are others in fragments shorter than what it reorders
            packet.duration = 1
            self._next += 1
            self._container.mux(packet)


@contextmanager
def fragment_writer(
    path: Path, form: StreamFormat, *, first_frame: int, sound: SoundPackets | None = None
) -> Iterator[FragmentWriter]:
    """Open a fragment for writing that begins with a frame of the video, counted from 0, and has this share of sound.

    It is written to `path`: moof and mdat. The file is there when the block ends without an exception, and not before.
    """
    written = io.BytesIO()
    options = {
        "movflags": "+frag_custom+empty_moov+default_base_moof+frag_discont+skip_trailer",
        "avoid_negative_ts": "disabled",
        "use_editlist": "0",
        "fragment_index": str(first_frame + 1),
    }
    with av.open(written, "w", format="mp4", options=options) as container:
        writer = FragmentWriter(container, form, first_frame=first_frame)
        track = None if form.sound is None else SoundTrack(container, form.sound)
        yield writer
        writer.finish()
        if track is not None and sound is not None:
            track.write(sound, delay=PRIMING)
    path.write_bytes(_boxes(written, b"moof", b"mdat"))


def write_init(path: Path, form: StreamFormat) -> None:
    """Write what players read before any fragment: what all have in common, no picture, and the mark."""
    written = io.BytesIO()
    options = {"movflags": "+frag_custom+delay_moov+default_base_moof"}  # FFmpeg waits to see how far decoding is ahead
    with av.open(written, "w", format="mp4", options=options) as container:
        pictures = PictureTrack(container, form).stream
        track = None if form.sound is None else SoundTrack(container, form.sound)
        picture = av.Packet(b"\0\0\0\1\x65")  # shows it, and is left
        picture.pts, picture.dts, picture.duration, picture.time_base = 0, -REORDERED, 1, 1 / form.fps
        picture.is_keyframe, picture.stream = True, pictures
        container.mux(picture)
        if track is not None:
            track.write(PRIMING_ALONE)
    path.write_bytes(_boxes(written, b"ftyp", b"moov"))
    mark_mp4(path)


def join_fragments(video: Fragments, output: Path) -> None:
    """Make an MP4 of a whole video, marked, that can start before all of it is there; nothing is encoded anew."""
    with video.open() as whole, mp4_file(output) as container:
        tracks = {track.index: container.add_stream_from_template(track) for track in whole.streams}
        for packet in whole.demux():
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                container.mux(packet)
    mark_mp4(output)


def mp4_file(path: Path) -> Any:
    """Open an MP4 for writing, with its index at the front when it is closed."""
    return av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})


class _Joined:
    """Files read as if they were one, front to back, one open at a time."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._blocks = (block for path in paths for block in _blocks(path))
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._blocks, b"")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _boxes(written: io.BytesIO, *kinds: bytes) -> bytes:
    """The boxes of an MP4 that are of these kinds, at its top."""
    data, place, found = written.getvalue(), 0, b""
    while place < len(data):
        end = place + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in kinds:
            found += data[place:end]
        place = end
    return found

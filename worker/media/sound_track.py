"""The sound of a video: AAC, encoded once over the whole and dealt out by time to the segments that are made of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from model.arrays import Floats, Integers, Pixels
from worker.media.audio import Sound

RATES = (44_100, 48_000)  # others are brought to 48 kHz
BIT_RATE = 128_000
PACKET = 1024  # samples of an AAC packet
PRIMING = 1024  # samples before the sound's start that the first packet holds: what the next one's decoding builds on


@dataclass(frozen=True)
class SoundFormat:
    """What all the sound of a video has in common: `rate` in Hz, 1 or 2 channels."""

    rate: int
    channels: int

    @property
    def layout(self) -> str:
        """FFmpeg's name of the channels."""
        return "mono" if self.channels == 1 else "stereo"


@dataclass(frozen=True)
class SoundPackets:
    """AAC packets that follow each other, one element of the first three (n,) for each.

    times: where it begins, in samples; the first of all lies before 0 by the priming. samples: how long it lasts, the
    last of all for less than others. sizes: bytes it has in `data`, where one comes after the other.
    """

    times: Integers
    samples: Integers
    sizes: Integers
    data: Pixels

    def __post_init__(self) -> None:
        """Refuse what does not fit together. Raises ValueError."""
        if not len(self.times) == len(self.samples) == len(self.sizes) or self.sizes.sum() != len(self.data):
            raise ValueError(
                f"sound of {len(self.times)} times, {len(self.samples)} lengths, {len(self.sizes)} sizes that add up to"
                f" {self.sizes.sum()} bytes, and {len(self.data)} bytes; they must fit together"
            )


PRIMING_ALONE = SoundPackets(
    times=np.array([-PRIMING]), samples=np.array([PACKET]), sizes=np.array([1]), data=np.zeros(1, np.uint8)
)
"""Tells where a sound's times begin, and holds none."""


class SoundEncoder:
    """Encodes a sound from its start, only as far as it is asked for, so that memory does not grow with the length.

    After its end there is silence: players of a video that is still being made would wait for more of it.
    """

    def __init__(self, sound: Sound, fps: Fraction) -> None:
        self.form = SoundFormat(sound.rate if sound.rate in RATES else RATES[-1], min(sound.channels, 2))
        self._fps = fps
        self._rate = sound.rate
        self._blocks = self._with_silence(sound.blocks())
        self._position = 0  # samples given to the encoder
        self._length: int | None = None  # of the sound, once it has ended
        self._held: list[Any] = []  # packets that are not yet asked for
        self._context = av.AudioCodecContext.create("aac", "w")
        self._context.rate, self._context.layout, self._context.format = self.form.rate, self.form.layout, "fltp"
        self._context.time_base = Fraction(1, self.form.rate)
        self._context.bit_rate = BIT_RATE

    def until(self, frame: int) -> SoundPackets:
        """Those not yet given that have ended when a frame begins, counted from 0."""
        return _packed(self._beginning_by(self.form.rate * frame / self._fps - PACKET))

    def finish(self, frames: int) -> SoundPackets:
        """Those not yet given of a video of so many frames.

        The sound ends with the last frame, or where it ends by itself, but no more than a frame later.
        """
        end = self.form.rate * (frames + 1) / self._fps
        packets = self._beginning_by(end)
        if self._length is not None:
            own = Fraction(self._length * self.form.rate, self._rate)
            end = min(end, max(own, self.form.rate * frames / self._fps))
        packets = [packet for packet in packets if packet.pts < round(end)]
        if packets:
            packets[-1].duration = min(PACKET, round(end) - packets[-1].pts)
        return _packed(packets)

    def _beginning_by(self, time: Fraction) -> list[Any]:
        while not self._held or self._held[-1].pts <= time:
            block = next(self._blocks)
            if len(block):
                self._held += self._context.encode(self._frame(block))
        count = sum(packet.pts <= time for packet in self._held)
        packets, self._held = self._held[:count], self._held[count:]
        return packets

    def _with_silence(self, blocks: Iterator[Floats]) -> Iterator[Floats]:
        for block in blocks:
            yield _at_most_stereo(block)
        self._length = self._position
        while True:
            yield np.zeros((PACKET, self.form.channels), np.float32)

    def _frame(self, block: Floats) -> av.AudioFrame:
        packed = np.ascontiguousarray(np.clip(block, -1, 1)).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=self.form.layout)
        frame.sample_rate = self._rate
        frame.pts, frame.time_base = self._position, Fraction(1, self._rate)
        self._position += len(block)
        return frame


class SoundTrack:
    """Writes packets of a `SoundEncoder` into a file that is being written; the file's own encoder describes them."""

    def __init__(self, container: Any, form: SoundFormat) -> None:
        self._container = container
        self._stream = container.add_stream("aac", rate=form.rate)
        self._stream.layout = form.layout
        self._stream.bit_rate = BIT_RATE
        self._time_base = Fraction(1, form.rate)

    def write(self, sound: SoundPackets, *, delay: int = 0) -> None:
        """Append packets, so many samples later than they say."""
        ends = np.cumsum(sound.sizes)
        for time, samples, start, end in zip(sound.times, sound.samples, ends - sound.sizes, ends, strict=True):
            packet = av.Packet(sound.data[start:end].tobytes())
            packet.pts = packet.dts = int(time) + delay
            packet.duration, packet.time_base = int(samples), self._time_base
            packet.is_keyframe = True
            packet.stream = self._stream
            self._container.mux(packet)


def _packed(packets: list[Any]) -> SoundPackets:
    def column(values: Iterator[Any]) -> Integers:
        return np.fromiter(values, np.int64, len(packets))

    return SoundPackets(
        times=column(packet.pts for packet in packets),
        samples=column(packet.duration for packet in packets),
        sizes=column(packet.size for packet in packets),
        data=np.frombuffer(b"".join(map(bytes, packets)), np.uint8),
    )


def _at_most_stereo(block: Floats) -> Floats:
    return block if block.shape[1] <= 2 else np.repeat(block.mean(axis=1, keepdims=True), 2, axis=1)

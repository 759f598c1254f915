"""Videos in fragments, read back with FFmpeg: as they come, and joined."""

import io
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr

from jobs.segments import cut
from tests.support.limits import SOUND_LIMITS
from tests.support.paths import ROOT
from tests.support.streams import stream
from worker.media.audio import Sound, open_sound
from worker.media.marking import XMP_BOX
from worker.media.mp4 import mp4_writer
from worker.media.sound_track import SoundEncoder, SoundFormat, SoundPackets
from worker.media.stream import StreamFormat, fragment_writer, frame_rate, join_fragments

BORDERS = (1, 2, 3, 12, 13, 25, 36, 37, 84, 85, 100, 101)  # frames: about those of segments


def moving(count: int) -> list[np.ndarray]:
    """Pictures in yuv420p of 64 x 48 that move, each like no other of its segment."""
    random = np.random.default_rng(0)
    smooth = random.integers(16, 235, (18, 16)).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    return [np.roll(smooth, (3 * number, number), (0, 1)) for number in range(count)]


def noise(path: Path, *, seconds: float, rate: int = 48_000, channels: int = 2) -> Sound:
    """Sound whose place in time is told to the sample by correlation, each channel its own."""
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return open_sound(path, SOUND_LIMITS)


def decoded(data: bytes | Path) -> tuple[list[Fraction], list[np.ndarray]]:
    """Times and pictures of a video."""
    with av.open(str(data) if isinstance(data, Path) else io.BytesIO(data), "r") as container:
        base: Any = container.streams.video[0].time_base
        frames: list[Any] = list(container.decode(video=0))
    return [frame.pts * base for frame in frames], [frame.to_ndarray() for frame in frames]


def heard(data: bytes | Path) -> tuple[np.ndarray, int]:
    """Samples (n, channels) of a video's sound, without the priming, and how long the track says it lasts."""
    with av.open(str(data) if isinstance(data, Path) else io.BytesIO(data), "r") as container:
        track = container.streams.audio[0]
        frames = list(container.decode(audio=0))
        assert frames[0].pts == 0
        assert track.duration is not None
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T, track.duration


def same(pictures: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    return len(pictures) == len(others) and all(map(np.array_equal, pictures, others))


def check_pictures(folder: Path, count: int, fps: float) -> None:
    pictures = moving(count)
    made = stream(folder, pictures, fps=fps)
    joined = folder / "joined.mp4"
    join_fragments(made.video, joined)
    times, shown = decoded(made.bytes())
    assert times == [number / frame_rate(fps) for number in range(count)]
    times_joined, shown_joined = decoded(joined)
    assert times_joined == times
    assert same(shown_joined, shown)
    for number, picture in enumerate(shown):
        assert np.abs(picture.astype(int) - pictures[number]).mean() < 8, number
    for index, (path, own) in enumerate(zip(made.fragments, cut(count), strict=True)):
        times_alone, alone = decoded(made.init.read_bytes() + path.read_bytes())
        assert times_alone == times[own.start : own.stop]
        assert same(alone, shown[own.start : own.stop]), index


@pytest.mark.parametrize("count", BORDERS)
def test_pictures_are_whole_and_in_time_in_fragments_and_joined(tmp_path: Path, count: int) -> None:
    check_pictures(tmp_path, count, 25)


@pytest.mark.slow
@pytest.mark.parametrize("fps", [12, 23.976, 24, 29.97, 30, 59.94, 60])
def test_pictures_are_in_time_at_other_rates(tmp_path: Path, fps: float) -> None:
    for count in BORDERS:
        check_pictures(tmp_path, count, fps)


@pytest.mark.slow
def test_pictures_of_a_minute(tmp_path: Path) -> None:
    check_pictures(tmp_path, 1500, 25)


def test_a_fragment_has_what_a_video_of_its_pictures_alone_has(tmp_path: Path) -> None:
    """So how they are encoded is the same, and nothing of the fragments before comes in."""
    pictures = moving(101)
    _, shown = decoded(stream(tmp_path, pictures).bytes())
    for index, own in enumerate(cut(101)):
        path = tmp_path / "alone.mp4"
        with mp4_writer(path, width=64, height=48, fps=25) as writer:
            for number in own:
                writer.write(pictures[number])
        assert same(decoded(path)[1], shown[own.start : own.stop]), index


BACKWARDS = """
import sys
from pathlib import Path
from tests.support.limits import SOUND_LIMITS
from tests.support.streams import stream, write_fragment
from tests.worker.media.test_stream import moving
from worker.media.audio import open_sound
from worker.media.sound_track import SoundEncoder

folder, pictures = Path(sys.argv[1]), moving(120)
(folder / "whole").mkdir()
made = stream(folder / "whole", pictures, sound=open_sound(folder / "a.wav", SOUND_LIMITS))
encoder = SoundEncoder(open_sound(folder / "a.wav", SOUND_LIMITS), made.form.fps)
shares = [*(encoder.until(stop) for stop in (12, 36, 84)), encoder.finish(120)]
for index in reversed(range(4)):
    write_fragment(folder / f"{index}.again", made.form, pictures, index=index, sound=shares[index])
"""


@pytest.mark.slow
def test_bytes_depend_neither_on_the_process_nor_on_what_it_did_before(tmp_path: Path) -> None:
    made = stream(tmp_path, moving(120), sound=noise(tmp_path / "a.wav", seconds=4))
    subprocess.run([sys.executable, "-c", BACKWARDS, str(tmp_path)], cwd=ROOT, check=True)
    for path in (made.init, *made.fragments):
        assert path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
    for path in made.fragments:
        assert path.read_bytes() == path.with_suffix(".again").read_bytes()


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [
        (48_000, 2, 4.02),
        (44_100, 1, 4.02),
        (16_000, 1, 4.02),
        (22_050, 6, 4.0),
        (48_000, 1, 2.5),  # shorter than the pictures
        (44_100, 2, 9.0),  # longer
        (8_000, 1, 0.1),
    ],
)
@pytest.mark.parametrize("rhythm", [(25, 100), (29.97, 120), (60, 235)])
def test_sound_is_in_step_and_as_long_as_in_one_piece(
    tmp_path: Path, rate: int, channels: int, seconds: float, rhythm: tuple[float, int]
) -> None:
    fps, count = rhythm
    sound = noise(tmp_path / "a.wav", seconds=seconds, rate=rate, channels=channels)
    pictures = [np.full((24, 16), 128, np.uint8)] * count
    made = stream(tmp_path, pictures, fps=fps, sound=sound)
    joined, at_once = tmp_path / "joined.mp4", tmp_path / "at_once.mp4"
    join_fragments(made.video, joined)
    with mp4_writer(at_once, width=16, height=16, fps=fps, sound=sound) as writer:
        for picture in pictures:
            writer.write(picture)
    samples, length = heard(joined)
    assert np.array_equal(samples, heard(at_once)[0])
    assert length == heard(at_once)[1]
    streamed, _ = heard(made.bytes())
    assert np.array_equal(streamed[: len(samples)], samples)
    assert made.form.sound == SoundFormat(44_100 if rate == 44_100 else 48_000, min(channels, 2))
    shown, out = count / fps, made.form.sound.rate
    assert length / out == pytest.approx(min(max(seconds, shown), shown + 1 / fps), abs=0.0011)  # a file's are of 1 ms
    original, _ = soundfile.read(sound.path, always_2d=True)
    original = original if channels <= 2 else original.mean(axis=1, keepdims=True).repeat(2, axis=1)
    wanted = soxr.resample(original, rate, out)
    for channel in range(wanted.shape[1]):
        assert lag(samples[:, channel], wanted[:, channel]) == 0
    assert np.abs(samples[len(wanted) + 2048 :]).max(initial=0) < 1e-3


def lag(samples: np.ndarray, wanted: np.ndarray) -> int:
    """Samples by which a sound is late, told by all of it that both have."""
    length = min(len(samples), len(wanted))
    size = 2 * length
    product = np.fft.rfft(samples[:length], size) * np.conj(np.fft.rfft(wanted[:length], size))
    late = int(np.argmax(np.fft.irfft(product, size)))
    return late if late < length else late - size


def test_a_share_of_sound_is_plain_arrays(tmp_path: Path) -> None:
    encoder = SoundEncoder(noise(tmp_path / "a.wav", seconds=1), Fraction(25))
    share = encoder.until(12)
    assert share.times[:3].tolist() == [-1024, 0, 1024]
    assert share.times[-1] + 1024 <= 0.48 * 48_000 < share.times[-1] + 2048
    np.savez(tmp_path / "share.npz", **vars(share))
    with np.load(tmp_path / "share.npz", allow_pickle=False) as file:
        again = SoundPackets(**file)
        assert all(np.array_equal(getattr(again, name), values) for name, values in vars(share).items())
        with pytest.raises(
            ValueError, match=r"sound of 23 times, 23 lengths, 23 sizes .* and \d+ bytes; they must fit"
        ):
            SoundPackets(**{**file, "data": file["data"][1:]})
    nothing = encoder.until(12)
    assert len(nothing.times) == len(nothing.data) == 0
    assert encoder.until(13).times[0] == share.times[-1] + 1024


def test_a_joined_video_is_marked_and_starts_before_it_is_whole(tmp_path: Path) -> None:
    made = stream(tmp_path, moving(13), sound=noise(tmp_path / "a.wav", seconds=1))
    join_fragments(made.video, tmp_path / "joined.mp4")
    data = (tmp_path / "joined.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat") < data.index(XMP_BOX)
    assert b"moof" not in data
    assert XMP_BOX in made.init.read_bytes()  # who keeps what was streamed keeps the mark
    with av.open(str(tmp_path / "joined.mp4")) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.start_time, sound.start_time) == (0, 0)
        context = video.codec_context
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (512, 600), (1920, 1080)])
@pytest.mark.parametrize("sound", [None, SoundFormat(48_000, 2)])
def test_codecs_are_those_of_the_file(tmp_path: Path, width: int, height: int, sound: SoundFormat | None) -> None:
    form = StreamFormat(width, height, Fraction(25), sound)
    path = tmp_path / "a.mp4"
    with mp4_writer(path, width=width, height=height, fps=25) as writer:
        writer.write(np.full((height * 3 // 2, width), 128, np.uint8))
    data = path.read_bytes()
    profile = data[data.index(b"avcC") + 5 :][:3].hex()  # ISO 14496-15, 5.3.3.1
    assert form.codecs == f"avc1.{profile}" + (", mp4a.40.2" if sound else "")


def test_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="a video of 63 x 48; both sides must be even"):
        StreamFormat(63, 48, Fraction(25))


def test_a_failed_fragment_raises_what_failed_and_leaves_no_file(tmp_path: Path) -> None:
    form = StreamFormat(64, 48, Fraction(25), SoundFormat(48_000, 1))

    def write_and_fail() -> None:
        with fragment_writer(tmp_path / "0.m4s", form, first_frame=0) as writer:
            writer.write(moving(1)[0])
            raise KeyError("what failed")

    with pytest.raises(KeyError, match="what failed"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []

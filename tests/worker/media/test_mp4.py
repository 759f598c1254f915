"""Videos out and in again, read back with FFmpeg."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from jobs.problems import ProblemError, ProblemType
from tests.support.films import add_cover, film, seconds_of, with_cover_first
from tests.support.limits import SOUND_LIMITS, VIDEO_LIMITS
from worker.media.audio import open_sound, read_speech
from worker.media.mp4 import mp4_writer
from worker.media.planes import to_yuv
from worker.media.video import open_video


def picture(level: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """A grey picture with a red top left and a blue bottom right corner, uint8 (H, W, 3)."""
    image = np.full((*size, 3), level, np.uint8)
    image[:16, :16] = (255, 0, 0)
    image[-16:, -16:] = (0, 0, 255)
    return image


def clicks(path: Path, times: list[float], seconds: float, rate: int, channels: int = 1) -> Path:
    """Sound with a short noise burst at each time."""
    samples = np.random.default_rng(0).normal(0, 1e-3, (round(seconds * rate), channels))
    for time in times:
        start = round(time * rate)
        samples[start : start + rate // 100] = np.random.default_rng(1).uniform(-0.9, 0.9, (rate // 100, channels))
    soundfile.write(path, samples, rate)
    return path


def onsets(samples: np.ndarray, rate: int) -> list[float]:
    loud = np.flatnonzero(np.abs(samples) > 0.2) / rate
    return [float(loud[i]) for i in range(len(loud)) if i == 0 or loud[i] - loud[i - 1] > 0.1]


def atoms(path: Path) -> list[str]:
    data, position, found = path.read_bytes(), 0, []
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : position + 8].decode())
        position += size
    return found


@pytest.mark.parametrize(
    ("rate", "channels", "fps"), [(16_000, 1, 25.0), (44_100, 2, 25.0), (48_000, 1, 30.0), (22_050, 6, 23.976)]
)
def test_browsers_can_play_it(tmp_path: Path, rate: int, channels: int, fps: float) -> None:
    sound = open_sound(clicks(tmp_path / "a.wav", [0.5, 1.5, 2.25], 3.01, rate, channels), SOUND_LIMITS)
    path = tmp_path / "a.mp4"
    with mp4_writer(path, width=97, height=65, fps=fps, sound=sound) as writer:
        for index in range(round(3.01 * fps)):
            writer.write(picture(255 if index in (round(0.5 * fps), round(1.5 * fps)) else 40, (65, 97)))
    assert atoms(path).index("moov") < atoms(path).index("mdat")
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, video.width, video.height) == ("h264", "yuv420p", 96, 64)
        assert audio.codec_context.name == "aac"
        assert video.average_rate is not None
        assert float(video.average_rate) == pytest.approx(fps, rel=1e-3)
        assert seconds_of(video) == pytest.approx(3.01, abs=0.5 / fps + 1e-3)
        assert seconds_of(audio) == pytest.approx(3.01, abs=0.025)
        assert video.start_time == 0
        frames = [(frame.time, int(frame.to_ndarray(format="rgb24")[32, 48, 0])) for frame in container.decode(video=0)]
    assert len(frames) == round(3.01 * fps)
    flashes = [time for time, level in frames if level > 200]
    assert flashes == pytest.approx([round(0.5 * fps) / fps, round(1.5 * fps) / fps], abs=1e-3)
    speech = read_speech(path, SOUND_LIMITS)
    assert onsets(np.concatenate([*speech]), 16_000) == pytest.approx([0.5, 1.5, 2.25], abs=0.004)


@pytest.mark.parametrize("planar", [False, True])
def test_colours_survive(tmp_path: Path, planar: bool) -> None:
    path = tmp_path / "a.mp4"
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32], image[:32, 32:], image[32:, :32], image[32:, 32:] = (
        (200, 60, 40),
        (40, 180, 60),
        (60, 60, 200),
        (230, 200, 170),
    )
    with mp4_writer(path, width=64, height=64, fps=25, crf=8) as writer:
        for _ in range(5):
            writer.write(to_yuv(image) if planar else image)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_primaries) == (1, 1, 1)  # BT.709, limited range
        rgb = frame.to_ndarray(format="rgb24")
    for y, x in ((16, 16), (16, 48), (48, 16), (48, 48)):
        assert np.abs(rgb[y, x].astype(int) - image[y, x]).max() <= 6


def test_a_failed_video_raises_what_failed(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with mp4_writer(tmp_path / "a.mp4", width=64, height=64, fps=25) as writer:
            writer.write(picture(1, (64, 64)))
            raise KeyError("what failed")

    with pytest.raises(KeyError, match="what failed"):
        write_and_fail()


def test_sound_shorter_or_longer_than_the_pictures(tmp_path: Path) -> None:
    sound = open_sound(clicks(tmp_path / "a.wav", [0.1], 2, 16_000), SOUND_LIMITS)
    for frames, expected in ((25, 1.04), (75, 3.0)):
        path = tmp_path / f"{frames}.mp4"
        with mp4_writer(path, width=64, height=64, fps=25, sound=sound) as writer:
            for _ in range(frames):
                writer.write(picture(9, (64, 64)))
        with av.open(str(path)) as container:
            audio, video = container.streams.audio[0], container.streams.video[0]
            assert seconds_of(audio) == pytest.approx(expected, abs=0.025)
            assert seconds_of(video) == pytest.approx(frames / 25)


def written_video(path: Path, levels: list[int], **options: Any) -> Path:
    return film(path, map(picture, levels), **options)


def levels_of(path: Path, fps: float) -> list[int]:
    return [int(frame[32, 48].mean()) for frame in open_video(path, VIDEO_LIMITS).frames(fps)]


def test_frames_at_their_own_rate_come_one_for_one(tmp_path: Path) -> None:
    levels = list(range(20, 220, 10))
    assert levels_of(written_video(tmp_path / "a.mp4", levels), 25) == pytest.approx(levels, abs=3)


def test_frames_are_resampled_to_the_rate_asked_for(tmp_path: Path) -> None:
    levels = list(range(20, 220, 5))  # 40 frames
    path = written_video(tmp_path / "a.mp4", levels, fps=50)
    assert levels_of(path, 25) == pytest.approx(levels[::2], abs=6)
    assert len(levels_of(path, 30)) == 24  # 0.8 s
    assert levels_of(path, 100) == sorted(levels_of(path, 100))
    assert len(levels_of(path, 100)) == 80


def test_uneven_timestamps(tmp_path: Path) -> None:
    path = written_video(tmp_path / "a.mp4", [20, 120, 220], times=[0, 10, 12])
    levels = levels_of(path, 25)
    assert levels[:5] == pytest.approx([20] * 5, abs=3)
    assert levels[5:11] == pytest.approx([120] * 6, abs=3)
    assert levels[11:] == pytest.approx([220] * len(levels[11:]), abs=3)
    assert 13 <= len(levels) <= 14


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_are_turned_and_mirrored_as_the_file_says(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    path = written_video(tmp_path / "a.mp4", [100, 100], rotation=rotation, mirrored=mirrored)
    frame = next(open_video(path, VIDEO_LIMITS).frames(25))
    wanted = np.rot90(picture(100), rotation // 90)  # counterclockwise
    wanted = wanted[:, ::-1] if mirrored else wanted
    assert frame.shape == wanted.shape
    assert np.abs(frame.astype(int) - wanted).mean() < 12


@pytest.mark.parametrize(
    ("ratio", "rotation", "size"),
    [
        (Fraction(2), 0, (64, 192)),
        (Fraction(2), 90, (192, 64)),  # the ratio is that of the stored pixels
        (Fraction(16, 15), 0, (64, 102)),
        (Fraction(8, 9), 0, (72, 96)),
        (Fraction(1, 2), 0, (128, 96)),
        (Fraction(0, 1), 0, (64, 96)),
        (Fraction(1000), 0, (64, 96)),
        (Fraction(1, 1000), 0, (64, 96)),
    ],
)
def test_pixels_become_square(tmp_path: Path, ratio: Fraction, rotation: int, size: tuple[int, int]) -> None:
    path = written_video(tmp_path / "a.mp4", [100, 100], rotation=rotation, pixel_ratio=ratio)
    assert [frame.shape for frame in open_video(path, VIDEO_LIMITS).frames(25)] == [(*size, 3)] * 2


@pytest.mark.parametrize(("ratio", "size"), [(1, (64, 96)), (Fraction(2), (45, 135)), (Fraction(1, 2), (90, 67))])
def test_square_pixels_are_no_more_than_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratio: Fraction, size: tuple[int, int]
) -> None:
    monkeypatch.setattr("worker.media.video.READ_PIXELS", 64 * 96)
    path = written_video(tmp_path / "a.mp4", [100, 100], pixel_ratio=ratio)
    source = open_video(path, VIDEO_LIMITS)
    assert [frame.shape for frame in source.frames(25)] == [(*size, 3)] * 2
    assert source.shrinkage == pytest.approx(max(source.width, source.height) / max(size), rel=0.02)


@pytest.mark.parametrize("moved", [lambda path: path, with_cover_first])
def test_a_cover_is_no_video(tmp_path: Path, moved: Callable[[Path], Path]) -> None:
    levels = list(range(20, 220, 20))
    path = moved(written_video(tmp_path / "a.mp4", levels, cover=np.full((32, 32, 3), 255, np.uint8)))
    assert levels_of(path, 25) == pytest.approx(levels, abs=3)


def test_a_cover_alone_is_no_picture_and_does_not_move_the_sound(tmp_path: Path) -> None:
    """It has a time of its own, at which no picture begins."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        add_cover(container, np.full((32, 32, 3), 255, np.uint8))
        tone = 0.5 * np.sin(np.arange(48_000, dtype=np.float32) / 10)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 24_000, Fraction(1, 48_000)
        container.mux([*sound.encode(frame), *sound.encode(None)])
    with pytest.raises(ProblemError, match="no picture in it"):
        open_video(path, VIDEO_LIMITS)
    assert read_speech(path, SOUND_LIMITS).seconds == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "mpeg4"), ("a.webm", "libvpx")],
)
def test_containers(tmp_path: Path, name: str, codec: str) -> None:
    levels = list(range(20, 220, 20))
    assert levels_of(written_video(tmp_path / name, levels, codec=codec), 25) == pytest.approx(levels, abs=6)


def test_limits(tmp_path: Path) -> None:
    path = written_video(tmp_path / "a.mp4", [50] * 50)
    with pytest.raises(ProblemError, match=r"2.0 seconds long; at most 1 are allowed") as caught:
        open_video(path, replace(VIDEO_LIMITS, seconds=1))
    assert caught.value.problem_type is ProblemType.VIDEO_TOO_LONG
    with pytest.raises(ProblemError, match="96 x 64, 6144 pixels; at most 1000 are allowed"):
        open_video(path, replace(VIDEO_LIMITS, pixels=1000))
    with pytest.raises(ProblemError, match="at most 10 are allowed"):
        open_video(path, replace(VIDEO_LIMITS, bytes=10))


def test_a_gap_of_a_day_is_not_filled(tmp_path: Path) -> None:
    path = written_video(tmp_path / "a.mkv", [20, 120], times=[0, 25 * 86_400])
    with pytest.raises(ProblemError) as caught:
        list(open_video(path, replace(VIDEO_LIMITS, seconds=10)).frames(25))
    assert caught.value.problem_type is ProblemType.VIDEO_TOO_LONG


def test_truncated_and_not_a_video(tmp_path: Path) -> None:
    path = written_video(tmp_path / "a.mp4", list(range(50)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ProblemError, match="damaged or truncated"):
        open_video(path, VIDEO_LIMITS)
    path.write_bytes(b"nothing of a video " * 40)
    with pytest.raises(ProblemError, match="is not a video file"):
        open_video(path, VIDEO_LIMITS)
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    with pytest.raises(ProblemError, match=r"is not a video file .*; it looks like audio/wav"):
        open_video(tmp_path / "a.wav", VIDEO_LIMITS)

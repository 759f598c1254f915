"""Videos in formats other than MP4, each read by a library that did not write it.

A GIF is FFmpeg's and read by Pillow; a WebP is put together here and read by OpenCV; a WebM is FFmpeg's and read byte
by byte and, in tests/service/test_formats.py, by a browser.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
import soxr
from PIL import Image

from tests.support.paths import ROOT
from tests.support.streams import Stream, stream
from tests.worker.media.test_marking import SOURCE, source_type
from tests.worker.media.test_stream import heard, lag, moving, noise
from worker.media.animations import changes
from worker.media.gif import write_gif
from worker.media.planes import to_yuv
from worker.media.stream import Encoded, Fragments, frame_rate, join_fragments
from worker.media.webm import write_webm
from worker.media.webp import write_webp

Write = Callable[[Fragments, Path, Callable[[int], None]], Encoded]
RATES = [12, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60]
WRITERS: dict[str, Write] = {"gif": write_gif, "webp": write_webp, "webm": write_webm}


class Shown(NamedTuple):
    """Pictures of an animation, how long each is shown in milliseconds, and how often all are."""

    pictures: list[np.ndarray]
    delays: list[int]
    loops: int


def read_gif(path: Path) -> Shown:
    with Image.open(path) as image:
        pictures, delays = [], []
        for number in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
            delays.append(image.info["duration"])
        image.seek(0)
        return Shown(pictures, delays, image.info["loop"])


def read_webp(path: Path) -> Shown:
    read, animation = cv2.imreadanimation(str(path))
    assert read
    pictures = [frame[:, :, 2::-1] for frame in animation.frames]
    return Shown(pictures, list(animation.durations), animation.loop_count)


def write(name: str, made: Stream, folder: Path) -> tuple[Path, Encoded]:
    path, done = folder / f"a.{name}", list[int]()
    encoded = WRITERS[name](made.video, path, done.append)
    assert [number for number in done if number] == list(range(1, made.frames + 1))
    return path, encoded


def as_mp4(made: Stream, folder: Path) -> list[np.ndarray]:
    join_fragments(made.video, folder / "a.mp4")
    return decoded(folder / "a.mp4")


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


READERS: dict[str, Callable[[Path], list[np.ndarray]]] = {
    "gif": lambda path: read_gif(path).pictures,
    "webp": lambda path: read_webp(path).pictures,
    "webm": decoded,
}


def psnr(picture: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((picture.astype(float) - other) ** 2)))


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("count", [1, 2, 37])
def test_a_gif_is_in_time_and_goes_on_for_ever(tmp_path: Path, fps: float, count: int) -> None:
    path, encoded = write("gif", stream(tmp_path, moving(count), fps=fps), tmp_path)
    shown = read_gif(path)
    rate = frame_rate(fps)
    assert encoded == (len(shown.pictures), min(rate, Fraction(50)))
    assert sum(shown.delays) == 10 * round(100 * count / rate)
    assert min(shown.delays) >= 20
    starts = np.cumsum([0, *shown.delays[:-1]]) / 1000
    own = [number / min(rate, Fraction(50)) for number in range(len(starts))]
    assert np.abs(starts - np.array(own, float)).max() <= 0.0051
    if count > 1:
        assert shown.loops == 0


def test_a_gif_of_sixty_frames_a_second_leaves_some_out_evenly(tmp_path: Path) -> None:
    path, encoded = write("gif", stream(tmp_path, bars(60), fps=60), tmp_path)
    shown = read_gif(path)
    assert encoded == (50, 50)
    assert shown.delays == [20] * 50
    assert [place(picture) for picture in shown.pictures] == [number for number in range(60) if number % 6 != 1]


def bars(count: int) -> list[np.ndarray]:
    """Pictures in yuv420p with a bright bar that moves by a column each."""
    pictures = [np.full((72, 64), 128, np.uint8) for _ in range(count)]
    for number, picture in enumerate(pictures):
        picture[:48], picture[:48, number : number + 4] = 40, 220
    return pictures


def place(picture: np.ndarray) -> int:
    """Where the bar is."""
    return int(np.flatnonzero(picture.mean(axis=(0, 2)) > 120)[0])


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("count", [1, 2, 37])
def test_a_webp_is_in_time_and_goes_on_for_ever(tmp_path: Path, fps: float, count: int) -> None:
    path, encoded = write("webp", stream(tmp_path, moving(count), fps=fps), tmp_path)
    shown, rate = read_webp(path), frame_rate(fps)
    assert encoded == (len(shown.pictures), rate) == (count, rate)
    assert np.cumsum(shown.delays).tolist() == [round(1000 * number / rate) for number in range(1, count + 1)]
    assert shown.loops == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_pictures_are_those_of_the_video(tmp_path: Path, name: str) -> None:
    made = stream(tmp_path, swaying(40))
    path, _ = write(name, made, tmp_path)
    wanted, shown = as_mp4(made, tmp_path), READERS[name](path)
    assert len(shown) == 40
    assert min(map(psnr, shown, wanted)) > 31
    assert max(psnr(picture, other) for picture, other in zip(shown[1:], wanted, strict=False)) < 25  # each its own


def swaying(count: int) -> list[np.ndarray]:
    """A photo in yuv420p that moves."""
    with Image.open(ROOT / "service/samples/portrait.jpg") as photo:
        small = np.asarray(photo.convert("RGB").resize((192, 224)))
    return [to_yuv(np.roll(small, 6 * (number % 5), 1)) for number in range(count)]


def test_what_seems_to_stand_still_does() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(100, 107, (48, 64, 3)).astype(np.uint8) for _ in range(4)]
    pictures[2][21:30, 11:20] = 200
    seen = [(change.picture.copy(), change.rows, change.columns) for change in changes(pictures)]
    assert [spans for _, *spans in seen] == [
        [slice(0, 48), slice(0, 64)],
        [slice(0, 2), slice(0, 2)],
        [slice(20, 30), slice(10, 20)],
        [slice(20, 30), slice(10, 20)],
    ]
    still = np.ones((48, 64), bool)
    still[21:30, 11:20] = False
    for picture, *_ in seen:
        assert np.array_equal(picture[still], pictures[0][still])
    assert (seen[2][0][~still] == 200).all()


class Element(NamedTuple):
    """One of EBML: its id, and what is in it."""

    id: int
    data: bytes


def elements(data: bytes) -> Iterator[Element]:
    """Those at the top (RFC 8794)."""
    place = 0
    while place < len(data):
        length = 9 - data[place].bit_length()
        name = int.from_bytes(data[place : place + length], "big")
        place += length
        length = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
        place += length
        yield Element(name, data[place : place + size])
        place += size


SEGMENT, CLUSTER, CUES, TAGS, TAG, SIMPLE_TAG = 0x18538067, 0x1F43B675, 0x1C53BB6B, 0x1254C367, 0x7373, 0x67C8
TAG_NAME, TAG_TEXT = 0x45A3, 0x4487


def test_a_webm_is_one_as_its_bytes_say(tmp_path: Path) -> None:
    made = stream(tmp_path, moving(40), sound=noise(tmp_path / "a.wav", seconds=2))
    path, encoded = write("webm", made, tmp_path)
    assert encoded == (40, 25)
    head, segment = elements(path.read_bytes())
    assert b"webm" in head.data
    assert segment.id == SEGMENT
    parts = list(elements(segment.data))
    order = [part.id for part in parts]
    assert order.index(CUES) < order.index(CLUSTER)
    assert b"V_VP9" in segment.data
    assert b"A_OPUS" in segment.data
    (tags,) = [part for part in parts if part.id == TAGS]
    simple = [
        {field.id: field.data.decode() for field in elements(each.data)}
        for tag in elements(tags.data)
        for each in elements(tag.data)
        if each.id == SIMPLE_TAG
    ]
    assert {TAG_NAME: "DIGITAL_SOURCE_TYPE", TAG_TEXT: SOURCE}.items() <= next(
        each.items() for each in simple if each[TAG_NAME] == "DIGITAL_SOURCE_TYPE"
    )


@pytest.mark.parametrize("fps", [12, 24, 29.97, 60])
def test_a_webm_shows_and_plays_what_the_video_does(tmp_path: Path, fps: float) -> None:
    sound = noise(tmp_path / "a.wav", seconds=2, rate=44_100 if fps == 24 else 48_000)
    made = stream(tmp_path, moving(40), fps=fps, sound=sound)
    path, _ = write("webm", made, tmp_path)
    join_fragments(made.video, tmp_path / "a.mp4")
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height, video.average_rate) == (64, 48, frame_rate(fps))
        assert [frame.pts for frame in container.decode(video)] == [
            round(1000 * number / frame_rate(fps)) for number in range(40)
        ]
        context = video.codec_context
        assert (context.colorspace, context.color_range, context.color_primaries, context.color_trc) == (1, 1, 1, 1)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=1e-3)
    capture.release()
    played, _ = heard(tmp_path / "a.mp4")
    again, rate = opus(path)
    assert made.form.sound is not None
    wanted = soxr.resample(played, made.form.sound.rate, rate)
    assert len(again) == pytest.approx(len(wanted), abs=rate / 1000)
    assert abs(lag(again[:, 0], wanted[:, 0])) <= rate / 1000


def opus(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        assert frames[0].pts == 0
        return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T, frames[0].sample_rate


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_video_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    made = stream(tmp_path, moving(40), sound=noise(tmp_path / "a.wav", seconds=2))
    first = write(name, made, tmp_path)[0].read_bytes()
    assert write(name, made, tmp_path)[0].read_bytes() == first


def test_a_gif_says_that_it_is_synthetic(tmp_path: Path) -> None:
    path, _ = write("gif", stream(tmp_path, moving(3)), tmp_path)
    data = path.read_bytes()
    place = data.index(b"\x21\xff\x0bXMP DataXMP") + 14
    assert source_type(data[place:]) == SOURCE
    end = place  # a reader that knows nothing of XMP walks from block to block, and gets to the end
    while data[end]:
        end += data[end] + 1
    assert data[end:] == b"\0\x3b"


def test_a_webp_says_that_it_is_synthetic(tmp_path: Path) -> None:
    path, _ = write("webp", stream(tmp_path, moving(3)), tmp_path)
    with Image.open(path) as image:
        assert source_type(image.info["xmp"]) == SOURCE
    assert int.from_bytes(path.read_bytes()[4:8], "little") == path.stat().st_size - 8


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_told_may_stop_it(tmp_path: Path, name: str) -> None:
    made, seen = stream(tmp_path, moving(40)), list[int]()

    def told(done: int) -> None:
        seen.append(done)
        if done == 5:
            raise StoppedError

    with pytest.raises(StoppedError):
        WRITERS[name](made.video, tmp_path / "a", told)
    assert seen[-1] == 5


PEAKS = """
import sys
from collections.abc import Sequence
from pathlib import Path
import numpy as np
from model.metrics.memory import peak_resident_mib
from tests.support.streams import stream
from tests.worker.media.test_formats import WRITERS

class Ramps(Sequence):
    def __init__(self, count):
        self.count = count
        self.first = np.add.outer(np.arange(360) % 200, np.arange(320) % 20).astype(np.uint8) + 16

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        return np.roll(self.first, 2 * number, 1)

folder, name = Path(sys.argv[1]), sys.argv[2]
for frames in map(int, sys.argv[3:]):
    WRITERS[name](stream(folder, Ramps(frames)).video, folder / "a", lambda done: None)
    print(peak_resident_mib())
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_memory_does_not_grow_with_the_length(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", PEAKS, str(tmp_path), name, "50", "250"]
    short, long = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    held = (250 - 50) * 320 * 240 * 3 / 2**20  # what the frames between them would take
    assert float(long) - float(short) < held / 5  # with 8 bits a pixel they would take a third

"""A video's plan: segments that hold all that rendering them takes, as soon as it is known."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from jobs.schemas import VideoOptions
from jobs.segments import cut
from model.audio import SpeechStyle, SpokenMotions
from model.extractor import Crop, Extraction
from tests.support.limits import SOUND_LIMITS
from worker.make.motions import Motions
from worker.make.plan import Drive, Head, Plan, Segment, plan_video
from worker.make.speech import speaking
from worker.media.audio import open_sound, read_speech
from worker.media.sound_track import SoundFormat, SoundPackets
from worker.media.stream import StreamFormat
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench

D = 70
AROUND = 13

FACE = Extraction(
    Crop(1.5, -2, 300),
    np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8),
    np.random.default_rng(1).normal(size=(478, 3)).astype(np.float32),
    np.random.default_rng(2).normal(size=80).astype(np.float32),
    np.random.default_rng(3).normal(size=D).astype(np.float32),
    0.75,
)


def motion(frames: int) -> np.ndarray:
    """A motion (T, D) whose every number tells where it stands."""
    return np.arange(frames * D, dtype=np.float32).reshape(frames, D)


def plan(motions: Motions, **drive: object) -> Plan:
    animator = SimpleNamespace(prior=None, window_radius=AROUND)
    bench = Workbench(SimpleNamespace(animator=animator), WorkerSettings())  # type: ignore[arg-type]
    sitter = SimpleNamespace(face=FACE, canvas=SimpleNamespace(width=65, height=48))
    return Plan(bench, sitter, Drive(motions, 25.0, **drive))  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [1, 7, 250])
@pytest.mark.parametrize("frames", [1, 12, 13, 25, 36, 84, 97, 184, 197, 300, 431])
def test_segments_have_their_frames_and_what_is_around_them(frames: int, block: int) -> None:
    rows = motion(frames)
    planned = plan(iter([rows[first : first + block] for first in range(0, frames, block)]))
    segments = [segment for segment in planned if segment is not None]
    assert [segment.index for segment in segments] == list(range(len(segments)))
    spans = [range(span.start, min(span.stop, frames)) for span in takewhile(lambda span: span.start < frames, cut())]
    for segment, own in zip(segments, spans, strict=True):
        assert segment.first == own.start
        np.testing.assert_array_equal(segment.motion[segment.own], rows[own])
        np.testing.assert_array_equal(segment.motion, rows[max(0, own.start - AROUND) : own.stop + AROUND])
        assert segment.last == (own.stop == frames)
        assert segment.sound is None
    assert planned.frames == frames
    assert planned.totals is not None
    assert vars(planned.totals) == {"frames": frames, "clamped": 0, "frames_without_face": None}


def test_a_segment_is_there_as_soon_as_its_frames_and_those_behind_them_are() -> None:
    come = 0

    def frames() -> Iterator[np.ndarray | None]:
        nonlocal come
        for row in motion(200):
            come += 1
            yield None
            yield row[None]

    planned = plan(frames())
    there, moments = [], 0
    for segment in planned:
        if segment is None:
            moments += 1
            assert planned.totals is None
        else:
            there.append(come)
    assert there == [12 + 13, 36 + 13, 84 + 13, 184 + 13, 200]
    assert moments == 2 * 200 - 4


@pytest.mark.parametrize(("seconds", "rate", "channels"), [(1.0, 44_100, 2), (7.5, 16_000, 1), (30.0, 48_000, 1)])
def test_sound_is_dealt_out_to_the_segments_in_whose_time_it_ends(
    tmp_path: Path, seconds: float, rate: int, channels: int
) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(tmp_path / "a.wav", sound, rate)
    frames = 130
    planned = plan(iter([motion(frames)]), sound=open_sound(tmp_path / "a.wav", SOUND_LIMITS))
    form = planned.head.form.sound
    assert form is not None
    ended = 0
    for segment in filter(None, planned):
        own, packets = range(segment.first, segment.first + len(segment.own)), segment.sound
        assert packets is not None
        assert len(packets.times)
        assert own.start == 0 or packets.times[0] == ended
        ended = int(packets.times[-1] + packets.samples[-1])
        beyond = ended - own.stop * form.rate / 25
        assert 0 <= beyond <= form.rate / 25 if segment.last else -2 * 1024 < beyond <= 0
    assert ended / form.rate == pytest.approx(min(max(seconds, frames / 25), (frames + 1) / 25), abs=1 / form.rate)


def same(one: object, two: object) -> None:
    """Assert that two dataclasses hold the same, arrays bit for bit."""
    for name, value in vars(one).items():
        other = getattr(two, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value)
            assert other.dtype == value.dtype
        elif isinstance(value, Extraction | SoundPackets):
            same(value, other)
        else:
            assert other == value, name


SOUND = SoundPackets(np.array([-1024, 0]), np.array([1024, 1024]), np.array([2, 1]), np.array([7, 8, 9], np.uint8))


@pytest.mark.parametrize("sound", [None, SoundFormat(44_100, 2)])
def test_a_head_is_read_as_it_was_written(tmp_path: Path, sound: SoundFormat | None) -> None:
    head = Head(FACE, StreamFormat(640, 480, Fraction(30_000, 1001), sound))
    head.save(tmp_path / "head")
    same(head, Head.load(tmp_path / "head"))


@pytest.mark.parametrize("sound", [None, SOUND])
def test_a_segment_is_read_as_it_was_written(tmp_path: Path, sound: SoundPackets | None) -> None:
    segment = Segment(3, 84, motion(40), range(13, 27), last=True, sound=sound)
    segment.save(tmp_path / "segment")
    same(segment, Segment.load(tmp_path / "segment"))


def test_files_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "it"
    for held in (b"", b"something else", b"PK\x03\x04" + bytes(40)):
        path.write_bytes(held)
        for kind in (Head, Segment):
            with pytest.raises(ValueError, match=r"it is no file of|allow_pickle"):
                kind.load(path)
    Segment(0, 0, motion(4), range(4), last=True).save(path)
    with pytest.raises(ValueError, match="it lacks"):
        Head.load(path)
    np.savez(tmp_path / "less.npz", index=0, motion=motion(4), own=[0, 4], last=True)
    with pytest.raises(ValueError, match=r"less\.npz lacks first;"):
        Segment.load(tmp_path / "less.npz")
    Segment(0, 0, motion(4), range(2, 9), last=True).save(path)
    with pytest.raises(ValueError, match=r"of which range\(2, 9\) are to be rendered"):
        Segment.load(path)
    np.savez(tmp_path / "code.npz", motion=np.array([print], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        Segment.load(tmp_path / "code.npz")


class Remembers:
    """A speaker that remembers how it was to speak."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def stream(self, speech: object, start: np.ndarray, style: SpeechStyle, *, identity: object) -> SpokenMotions:
        self.seeds.append(style.seed)
        return SpokenMotions(1, iter([start[None]]))


def test_who_names_no_seed_gets_that_of_the_job() -> None:
    speaker = Remembers()
    bench = Workbench(SimpleNamespace(speech=speaker), WorkerSettings(), seed=17)  # type: ignore[arg-type]
    for seed in (None, 5, None):
        speaking(bench, FACE, None, VideoOptions(seed=seed))  # type: ignore[arg-type]
    assert speaker.seeds == [17, 5, 17]
    seeds = {Workbench(bench.models, bench.settings).seed for _ in range(4)}
    assert len(seeds) == 4


@pytest.mark.slow
@pytest.mark.parametrize("fps", [None, 30])
def test_speech_is_planned_as_it_is_spoken_in_one_piece(
    models: Models, speech_weights: None, portrait: Path, tmp_path: Path, fps: float | None
) -> None:
    spoken = np.random.default_rng(0).normal(0, 0.1, 16_000 * 11 + 300) * np.sin(np.arange(176_300) / 900)
    soundfile.write(tmp_path / "speech.wav", spoken, 16_000)
    options = VideoOptions(seed=3, fps=fps)
    planned = plan_video(Workbench(models, WorkerSettings()), portrait, audio=tmp_path / "speech.wav", options=options)
    frames = planned.frames
    assert frames == (275 if fps is None else 330)
    got = np.concatenate([segment.motion[segment.own] for segment in planned if segment is not None])
    face, samples = planned.head.face, read_speech(tmp_path / "speech.wav", SOUND_LIMITS)
    whole = np.concatenate(
        list(models.speech.stream(samples, face.motion, SpeechStyle(seed=3), identity=face.identity))
    )
    if fps is not None:
        place = np.minimum(np.arange(330) * 25 / 30, 274)
        before = np.floor(place).astype(int)
        share = (place - before)[:, None].astype(np.float32)
        whole = whole[before] * (1 - share) + whole[np.minimum(before + 1, 274)] * share
    np.testing.assert_array_equal(got, whole)
    assert planned.frames == frames == len(whole)

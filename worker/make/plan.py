"""The plan of a video: the motion that it is drawn by, and its sound, cut into segments that any worker can render.

Segments are there one by one, long before the end of a long video is known. What they and their head hold is written to
files, so that another process can go on from there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np

from jobs.motion_spaces import Spaces, checked_beside, checked_moving
from jobs.motions import MOTION_FPS, CoefficientsMotion, FramesMotion, Motion, MovingMotion, NamedMotion
from jobs.schemas import VideoOptions
from jobs.segments import cut
from model.arrays import Array, Floats
from model.extractor import Crop, Extraction
from model.morphable.basis import MOTION_SPACE
from worker.decoding import read_speech
from worker.make.driving import DrivingVideo
from worker.make.faces import read_portrait
from worker.make.motions import Motions, check_reads, moving, resampled, resampled_length, still, within_reach_of
from worker.make.on_top import on_top
from worker.make.sitter import Sitter
from worker.make.speech import speaking, with_head_of
from worker.media.audio import Sound, Speech
from worker.media.sound_track import SoundEncoder, SoundFormat, SoundPackets
from worker.media.stream import StreamFormat, frame_rate
from worker.workbench import Workbench


@dataclass(frozen=True)
class Head:
    """What all segments of a video have in common: the face that is animated, and the format of the stream."""

    face: Extraction
    form: StreamFormat

    def save(self, path: Path) -> None:
        """Write it to a file."""
        face, form = self.face, self.form
        _save(
            path,
            crop=[face.crop.x, face.crop.y, face.crop.side],
            image=face.image,
            landmarks=face.landmarks,
            identity=face.identity,
            motion=face.motion,
            confidence=face.confidence,
            size=[form.width, form.height],
            fps=form.fps.as_integer_ratio(),
            sound=[] if form.sound is None else [form.sound.rate, form.sound.channels],
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` has written. Raises ValueError: the file holds something else."""
        held = _load(path, "crop", "image", "landmarks", "identity", "motion", "confidence", "size", "fps", "sound")
        face = Extraction(
            crop=Crop(*held["crop"].tolist()),
            image=held["image"],
            landmarks=held["landmarks"],
            identity=held["identity"],
            motion=held["motion"],
            confidence=float(held["confidence"]),
        )
        sound = held["sound"].tolist()
        width, height = held["size"].tolist()
        fps = Fraction(*held["fps"].tolist())
        return cls(face, StreamFormat(width, height, fps, SoundFormat(*sound) if sound else None))


@dataclass(frozen=True)
class Segment:
    """One segment of a video.

    first: which frame of the video it begins with. motion (T, D): of its frames and of those around them that count,
    which only the ends of the video lack. own: which of T are its frames. last: whether the video ends with it. sound:
    its share of it.
    """

    index: int
    first: int
    motion: Floats
    own: range
    last: bool
    sound: SoundPackets | None = None

    def save(self, path: Path) -> None:
        """Write it to a file."""
        sound = {} if self.sound is None else {f"sound_{name}": value for name, value in vars(self.sound).items()}
        own = [self.own.start, self.own.stop]
        _save(path, index=self.index, first=self.first, motion=self.motion, own=own, last=self.last, **sound)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` has written. Raises ValueError: the file holds something else."""
        held = _load(path, "index", "first", "motion", "own", "last")
        motion, own = held["motion"], range(*held["own"].tolist())
        if motion.ndim != 2 or not 0 <= own.start < own.stop <= len(motion):
            raise ValueError(f"{path.name} has motions of the shape {motion.shape}, of which {own} are to be rendered")
        sound = None
        if "sound_data" in held:
            sound = SoundPackets(**{field.name: held[f"sound_{field.name}"] for field in fields(SoundPackets)})
        return cls(int(held["index"]), int(held["first"]), motion, own, bool(held["last"]), sound)


@dataclass(frozen=True)
class Totals:
    """What is known of a video when all of it is planned.

    clamped: in how many frames the head is turned less than asked. frames_without_face: those of a driving video.
    """

    frames: int
    clamped: int
    frames_without_face: int | None


@dataclass(frozen=True)
class Drive:
    """What a portrait does in a video: its motion at `fps`, how many frames that is if it is known, and the sound."""

    motions: Motions
    fps: float
    frames: int | None = None
    sound: Sound | None = None
    filmed: DrivingVideo | None = None


class Plan:
    """The segments of a video, in order and as soon as they are there; made by `plan_video`, gone through once.

    frames: how many the video has, where it is known. totals: None until all is planned.
    """

    def __init__(self, bench: Workbench, sitter: Sitter, drive: Drive) -> None:
        self._bench = bench
        self._drive = drive
        fps = frame_rate(drive.fps)
        self._sound = None if drive.sound is None else SoundEncoder(drive.sound, fps)
        self.sitter = sitter
        self.head = Head(
            sitter.face,
            StreamFormat(
                width=sitter.canvas.width // 2 * 2,
                height=sitter.canvas.height // 2 * 2,
                fps=fps,
                sound=None if self._sound is None else self._sound.form,
            ),
        )
        self.frames = drive.frames
        self.totals: Totals | None = None

    def __iter__(self) -> Iterator[Segment | None]:
        """Segments; None: there is nothing new, but a moment to do something else.

        Raises what reading a driver or a sound does.
        """
        radius = self._bench.models.animator.window_radius
        spans = cut(self.frames)
        own: range | None = next(spans)
        held = np.zeros((0, 0), np.float32)
        first = known = index = clamped = 0  # `held` begins with frame `first`
        for asked in self._drive.motions:
            if asked is None:
                yield None
                continue
            reached, reduced = within_reach_of(self._bench, self.head.face, asked)
            held = np.concatenate([held, reached]) if known else reached
            known, clamped = known + len(reached), clamped + reduced
            before = index
            while own is not None and own.stop + radius <= known:
                around = slice(max(0, own.start - radius) - first, own.stop + radius - first)
                yield self._segment(index, held[around], own, last=False)
                index, own = index + 1, next(spans, None)
            if index == before:
                yield None
                continue
            needed = max(0, (known if own is None else own.start) - radius)
            held, first = held[needed - first :], needed
        filmed = self._drive.filmed
        self.frames = known
        self.totals = Totals(known, clamped, None if filmed is None else filmed.frames_without_face)
        while own is not None and own.start < known:
            own = range(own.start, min(own.stop, known))
            around = slice(max(0, own.start - radius) - first, own.stop + radius - first)
            yield self._segment(index, held[around], own, last=own.stop == known)
            index, own = index + 1, next(spans, None)

    def _segment(self, index: int, motion: Floats, own: range, *, last: bool) -> Segment:
        start = min(own.start, self._bench.models.animator.window_radius)
        sound = None
        if self._sound is not None:
            with self._bench.stages.timed("encode"):
                sound = self._sound.finish(own.stop) if last else self._sound.until(own.stop)
        return Segment(index, own.start, motion, range(start, start + len(own)), last, sound)


def plan_video(
    bench: Workbench,
    portrait: Path,
    *,
    audio: Path | None = None,
    motion: Motion | None = None,
    driving: Path | None = None,
    options: VideoOptions,
    face: Extraction | None = None,
) -> Plan:
    """Begin to plan a portrait that is animated by a sequence, by speech or by the video `driving`.

    The sound of `audio`, or that of the driving video if it has any, goes with it. With both, the mouth is the
    speech's, and head, eyes and brows are the video's. A motion beside them is put on top where it is of controls or
    keyframes; frames and coefficients, which are for speech alone, hold what else a video would. `face` is the
    portrait's, where it is known.

    Raises ProblemError: for whatever of it the user can mend, as far as it is known before a driving video is read.
    """
    if bench.credentials is not None:
        bench.credentials.check_video(options.format)
    speech = None if audio is None else _heard(bench, audio)  # bad sound is refused before anything costly is done
    if driving is not None:
        check_reads(bench, "a driving video", bench.models.extractor.motion_space)
    if motion is not None:
        check_motion(motion, bench.models.motion_spaces, audio=audio, driving=driving)
    subject = read_portrait(bench, portrait, options.face, face=face)
    filmed = None if driving is None else DrivingVideo(bench, subject.face, driving, options)
    if speech is not None:
        drive = _by_speech(bench, subject.face, speech, filmed=filmed, motion=motion, options=options)
    elif filmed is not None:
        fps = options.fps or MOTION_FPS
        drive = Drive(resampled(filmed.motions(), MOTION_FPS, fps), fps, sound=filmed.sound(), filmed=filmed)
    else:
        assert isinstance(motion, MovingMotion)  # noqa: S101 - something drives
        fps = options.fps or motion.fps
        with bench.stages.run("motion"):
            made = moving(motion, subject.face, bench.models.controls, fps)
        drive = Drive(iter([made]), fps, len(made))
    if (audio or driving) and isinstance(motion, NamedMotion):
        with bench.stages.run("motion"):
            motions = on_top(drive.motions, motion, subject.face, bench.models.controls, drive.fps)
        drive = replace(drive, motions=motions)
    return Plan(bench, Sitter(bench, subject, options), drive)


def check_motion(motion: Motion, spaces: Spaces, *, audio: Path | None, driving: Path | None) -> None:
    """Refuse a motion that cannot drive a video, or not beside what else does. Raises ProblemError."""
    if audio or driving:
        checked_beside(motion, spaces, "motion", driven=driving is not None)
    else:
        checked_moving(motion, spaces, "motion")


def _heard(bench: Workbench, audio: Path) -> Speech:
    with bench.stages.run("audio"):
        speech = read_speech(audio, bench.settings.audio_limits, check=bench.stages.check)
    check_reads(bench, "speech", MOTION_SPACE)
    return speech


def _by_speech(
    bench: Workbench,
    face: Extraction,
    speech: Speech,
    *,
    filmed: DrivingVideo | None,
    motion: Motion | None,
    options: VideoOptions,
) -> Drive:
    fps = options.fps or MOTION_FPS
    with bench.stages.run("motion"):
        said = speaking(bench, face, speech, options)
    motions = resampled(bench.stages.each("motion", said), MOTION_FPS, fps)
    held: Motions | None = None
    if filmed is not None:
        held = resampled(filmed.motions(), MOTION_FPS, fps)
    elif isinstance(motion, FramesMotion):
        held = iter([moving(motion, face, bench.models.controls, fps)])
    elif isinstance(motion, CoefficientsMotion):
        held = iter([still(motion, face, bench.models.controls)[None]])
    if held is not None:
        motions = with_head_of(held, motions, face.motion, options)
    return Drive(motions, fps, resampled_length(said.frames, MOTION_FPS, fps), speech.sound, filmed)


def _save(path: Path, **values: Any) -> None:
    with path.open("wb") as file:  # a name would be given a suffix
        np.savez(file, allow_pickle=False, **values)


def _load(path: Path, *names: str) -> Mapping[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            held = dict(arrays)
    except (EOFError, BadZipFile) as error:
        raise ValueError(f"{path.name} is no file of a plan: {error}") from error
    if lacking := [name for name in names if name not in held]:
        raise ValueError(f"{path.name} lacks {', '.join(lacking)}; it has {', '.join(held)}")
    return held

"""The jobs that render, as plain functions over files: a worker and the command line call them, and they know no queue.

All raise jobs.problems.ProblemError for what the user can mend and model.errors.ModelError from the models. Whatever
the report of the bench's stages raises passes through, which is how a job is stopped.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from jobs.formats import FORMATS
from jobs.motion_spaces import checked_moving, checked_still
from jobs.motions import MOTION_FPS, Motion, MovingMotion, StillMotion
from jobs.problems import ProblemError, ProblemType
from jobs.schemas import ImageOptions, VideoOptions
from model.arrays import Floats
from model.morphable.basis import MOTION_SPACE
from model.renderer.prior.reach import Reach, within_reach
from worker.decoding import read_speech
from worker.make.canvas import Canvas, SquareCrop, whole_photo
from worker.make.driving import driven_image, driven_video
from worker.make.faces import read_portrait
from worker.make.label import Labelled
from worker.make.motions import Drive, moving, resample, still
from worker.make.output import Clamped, Output
from worker.make.render import render_video
from worker.make.speech import speaking, with_head_of
from worker.media.audio import Speech
from worker.media.images import encode_image
from worker.media.mp4 import LONGEST_SIDE
from worker.workbench import PreparedPortrait, Workbench


def make_image(
    bench: Workbench,
    portrait: Path,
    output: Path,
    *,
    motion: Motion | None = None,
    motions: Sequence[Motion] | None = None,
    driving: Path | None = None,
    options: ImageOptions,
) -> Output:
    """Re-pose a portrait by a still motion, or as the person in the image `driving`; write the image to `output`.

    With `motions`, a ZIP of one image for each is written: `001.png` and so on.
    """
    wanted = {"motion": motion} if motion else {f"motions.{index}": each for index, each in enumerate(motions or ())}
    poses = [checked_still(each, bench.models.motion_spaces, where) for where, each in wanted.items()]
    if driving is not None:
        _check_reads(bench, "a driving image", bench.models.extractor.motion_space)
    subject = read_portrait(bench, portrait, options.face)
    if driving is not None:
        asked = driven_image(bench, subject, driving, options)[None]
    else:
        asked = _poses(bench, subject, poses)
    targets, clamped = _reached(bench, subject, asked)
    with bench.stages.timed("paste"):
        canvas = _canvas(subject, options)
    bench.stages.report("render", 0, len(targets))
    images = (_rendered(bench, subject, target, canvas, options) for target in targets)
    image_format = FORMATS[options.format]
    made = Output(image_format.media_type, width=canvas.width, height=canvas.height, clamped=clamped)
    if motions is None:
        output.write_bytes(next(images))
        bench.stages.report("render", 1, 1)
        return made
    with zipfile.ZipFile(output, "w") as archive:  # stored: pictures do not shrink any more
        for number, image in enumerate(images, 1):
            archive.writestr(f"{number:03}.{image_format.suffix}", image)
            _check_size(output, bench.settings.max_archive_bytes, number)
            bench.stages.report("render", number, len(targets))
    return replace(made, media_type=FORMATS["zip"].media_type, images=len(targets))


def _check_size(archive: Path, most: int, images: int) -> None:
    size = archive.stat().st_size
    if size > most:
        raise ProblemError(
            ProblemType.TOO_LARGE,
            f"the first {images} images have {size} bytes; allowed are {most} for all; a smaller size or jpeg may do",
            got=size,
            allowed=most,
        )


def _rendered(
    bench: Workbench, subject: PreparedPortrait, target: Floats, canvas: Canvas, options: ImageOptions
) -> bytes:
    with bench.stages.timed("render"):
        batches = bench.models.animator.animate(subject.face, target[None], batch_size=1)
        (animated,) = next(batches)
    with bench.stages.timed("paste"):
        image = canvas.paste(animated)
    with bench.stages.timed("encode"):
        encoded = encode_image(image, options.format, quality=options.quality)
    if bench.credentials is None:
        return encoded
    with bench.stages.timed("sign"):
        return bench.credentials.signed(encoded, FORMATS[options.format].media_type, composite=options.paste_back)


def make_video(
    bench: Workbench,
    portrait: Path,
    output: Path,
    *,
    audio: Path | None = None,
    motion: Motion | None = None,
    driving: Path | None = None,
    options: VideoOptions,
) -> Output:
    """Animate a portrait by a sequence, by speech or by the video `driving`; write an MP4 to `output`.

    The sound of `audio`, or that of the driving video if it has any, goes with it. With both, the mouth is the
    speech's, and head, eyes and brows are the video's.
    """
    speech = None if audio is None else _heard(bench, audio)  # bad sound is refused before anything costly is done
    if driving is not None:
        _check_reads(bench, "a driving video", bench.models.extractor.motion_space)
    sequence = None if motion is None else checked_moving(motion, bench.models.motion_spaces, "motion")
    subject = read_portrait(bench, portrait, options.face)
    if speech is not None and driving is not None:
        drive = _by_both(bench, subject, speech, driving, options)
    elif speech is not None:
        drive = _by_speech(bench, subject, speech, options)
    elif driving is not None:
        drive = _by_video(bench, subject, driving, options)
    else:
        assert sequence is not None  # noqa: S101 - something drives
        drive = _by_motion(bench, subject, sequence, options)
    reached, clamped = _reached(bench, subject, drive.motion)
    made = render_video(bench, subject.face, replace(drive, motion=reached), _canvas(subject, options), output)
    if bench.credentials is not None:
        with bench.stages.run("sign"):
            bench.credentials.sign_file(output, made.media_type, composite=options.paste_back)
    return replace(made, frames_without_face=drive.frames_without_face, clamped=clamped)


def _heard(bench: Workbench, audio: Path) -> Speech:
    with bench.stages.run("audio"):
        speech = read_speech(audio, bench.settings.audio_limits, check=bench.stages.check)
    _check_reads(bench, "speech", MOTION_SPACE)
    return speech


def _by_motion(bench: Workbench, subject: PreparedPortrait, motion: MovingMotion, options: VideoOptions) -> Drive:
    fps = options.fps or motion.fps
    with bench.stages.run("motion"):
        return Drive(moving(motion, subject.face, bench.models.controls, fps), fps)


def _by_speech(bench: Workbench, subject: PreparedPortrait, speech: Speech, options: VideoOptions) -> Drive:
    fps = options.fps or MOTION_FPS
    with bench.stages.run("motion"):
        return Drive(resample(speaking(bench, subject.face, speech, options), MOTION_FPS, fps), fps, speech.sound)


def _by_video(bench: Workbench, subject: PreparedPortrait, driving: Path, options: VideoOptions) -> Drive:
    return driven_video(bench, subject, driving, options, options.fps or MOTION_FPS)


def _by_both(
    bench: Workbench, subject: PreparedPortrait, speech: Speech, driving: Path, options: VideoOptions
) -> Drive:
    filmed = _by_video(bench, subject, driving, options)
    spoken = _by_speech(bench, subject, speech, options)
    mixed = with_head_of(filmed.motion, spoken.motion, subject.face.motion, options)
    return replace(filmed, motion=mixed, sound=spoken.sound)


def _poses(bench: Workbench, subject: PreparedPortrait, wanted: Sequence[StillMotion]) -> Floats:
    with bench.stages.run("motion"):
        return np.stack([still(motion, subject.face, bench.models.controls) for motion in wanted])


def _reached(bench: Workbench, subject: PreparedPortrait, asked: Floats) -> tuple[Floats, Clamped | None]:
    """Motions (T, D) that can be drawn of the portrait: those asked for, turned no further than it shows enough for.

    A renderer without a prior is left to itself: its motions need not even have angles.
    """
    if bench.models.animator.prior is None:
        return asked, None
    own = subject.face.motion
    reached, reduced = within_reach(own, asked)
    count = int(np.count_nonzero(reduced))
    return reached, Clamped(count, Reach.of(own)) if count else None


def _check_reads(bench: Workbench, what: str, got: str) -> None:
    """Refuse what becomes a motion of the space `got` where the renderer takes another space's."""
    spaces = bench.models.motion_spaces
    if got not in spaces:
        raise ProblemError(
            ProblemType.WRONG_MOTION_SPACE,
            f"{what} becomes a motion in the space {got!r}; this renderer takes {', '.join(map(repr, spaces))}, as "
            "coefficients or frames of them",
            got=got,
            allowed=list(spaces),
        )


def _canvas(subject: PreparedPortrait, options: ImageOptions | VideoOptions) -> Canvas:
    video = isinstance(options, VideoOptions)
    canvas: Canvas
    if not options.paste_back:
        canvas = SquareCrop(subject.photo, subject.face, options.size or len(subject.face.image))
    else:
        own = max(subject.photo.shape[:2])
        longest = options.size or (min(LONGEST_SIDE, own) if video else own)
        canvas = whole_photo(subject.photo, subject.face, longest, planar=video and not options.label)
    return Labelled(canvas) if options.label else canvas  # a label is drawn in RGB

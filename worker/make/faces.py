"""Faces in photos and videos, as far as the user has a say in them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import repeat, tee
from pathlib import Path

from jobs.motions import MOTION_FPS
from jobs.problems import ProblemError, ProblemType
from model.arrays import Pixels
from model.errors import FaceIndexError, NoFaceError
from model.extractor import Extraction, Extractor, Face
from model.extractor.follower import looked_for_faces
from worker.decoding import read_image
from worker.media.files import check_size
from worker.media.video import VideoSource
from worker.workbench import PreparedPortrait, Workbench

REPORT_EVERY = 8  # frames


def read_portrait(
    bench: Workbench, path: Path, index: int | None, *, name: str = "portrait", face: Extraction | None = None
) -> PreparedPortrait:
    """Decode a photo and extract one of its faces: the `index`-th, or the largest; or take the `face` known of it.

    What is kept of it is taken where it is of that very face.

    Raises ProblemError: what `read_image` raises, no-face or no-such-face.
    """
    with bench.stages.run("decode"):
        check_size(path, bench.settings.max_portrait_bytes, name)
        digest = bench.digests.get(path) or hashlib.sha256(path.read_bytes()).hexdigest()
        key = (bench.owner, digest, index or 0)
        kept = bench.portraits.get(key)
        if kept is not None and (face is None or face.same_as(kept.face)):
            return kept
        limits, check = bench.settings.image_limits, bench.stages.check
        photo = kept.photo if kept else read_image(path, limits, name=name, check=check)
    if face is None:
        with bench.stages.run("face"):
            extractor = bench.models.extractor
            face = extractor.extract(photo, choose_face(extractor, photo, index, name=name))
    portrait = PreparedPortrait(photo, face, bench.models)
    bench.portraits.put(key, portrait)
    return portrait


def choose_face(extractor: Extractor, rgb: Pixels, index: int | None, *, name: str) -> Face:
    """The `index`-th of the faces in a picture, the largest first; the largest when no index is given.

    Raises ProblemError: no-face or no-such-face.
    """
    faces: Sequence[Face] = extractor.find_faces(rgb, every=bool(index))
    if not faces:
        height, width = rgb.shape[:2]
        raise ProblemError(
            ProblemType.NO_FACE,
            f"no face was found in the {name} of {width} x {height} pixels; {looked_for_faces()}",
            got=0,
            allowed="at least one face",
        )
    if index is not None and index >= len(faces):
        raise ProblemError(
            ProblemType.NO_SUCH_FACE,
            f"face {index} was asked for, but the {name} has {len(faces)}; allowed are 0 to {len(faces) - 1}",
            got=index,
            allowed=list(range(len(faces))),
        )
    return faces[index or 0]


def follow_face(bench: Workbench, source: VideoSource, index: int | None) -> Iterator[tuple[Pixels, Extraction | None]]:
    """Each frame of a video, at 25 frames a second, with the face followed in it: the `index`-th or the largest.

    None before it comes, which `max_seconds_before_face` bounds. Frames stream; few are held at a time. Raises
    ProblemError: what `VideoSource.frames` raises, no-face, or no-such-face for more than the first frame with one has.
    """
    patience = bench.settings.max_seconds_before_face
    total = None if source.seconds is None else max(1, round(source.seconds * MOTION_FPS))
    frames, looked_at = tee(bench.stages.each("decode", source.frames(MOTION_FPS)))
    try:
        for number, (frame, extraction) in enumerate(
            zip(frames, bench.models.extractor.extract_video(looked_at, index or 0), strict=True)
        ):
            if number % REPORT_EVERY == 0:
                bench.stages.report("extract", number, total)
            if extraction is None and number >= patience * MOTION_FPS:
                raise ProblemError(
                    ProblemType.NO_FACE,
                    f"the {source.name}: no face in the first {patience:g} seconds; {looked_for_faces()}",
                    got=0,
                    allowed=f"a face in the first {patience:g} seconds (PIRENDERER_MAX_SECONDS_BEFORE_FACE)",
                )
            yield frame, extraction
    except FaceIndexError as error:
        raise ProblemError(
            ProblemType.NO_SUCH_FACE, f"the {source.name}: {error}", got=index, allowed="an index of its faces"
        ) from error
    except NoFaceError as error:
        raise ProblemError(
            ProblemType.NO_FACE, f"the {source.name}: {error}", got=0, allowed="at least one face"
        ) from error


def from_the_start(followed: Iterable[Extraction | None]) -> Iterator[Extraction | None]:
    """A followed face, which before it came was where it came, and unseen; None while that is waited for."""
    before = 0
    for face in followed:
        if face is None:
            before += 1
            yield None
            continue
        yield from repeat(replace(face, confidence=0.0, seen=False), before)
        before = 0
        yield face

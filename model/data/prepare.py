"""Folders of videos become a corpus folder: faces found and cut, landmarks read, as docs/training.md lays it out.

Resumable: a video whose name stands in prepared.jsonl is done, and index.csv is written anew after each video.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import structlog
from av.filter import Graph
from tqdm import tqdm

from model.arrays import Array, Pixels
from model.data.corpus import CORPUS_SIZE
from model.errors import DataError, NoFaceError
from model.extractor import Extraction, Extractor
from model.face.crop import CROP_UNITS
from model.files import written
from model.footage import Upright, picture_stream, pixel_ratio
from model.morphable.basis import MOTION_FPS

log = structlog.get_logger(__name__)

VIDEO_SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"}
SOUND_RATE = 16000
SEGMENT_SECONDS = 10.0  # longer videos are cut: a clip's crop is fixed, and heads wander
SHORTEST_SECONDS = 1.0
LOST_SHARE = 0.05  # of the frames that do not show the face, above which a segment is dropped
FACE_HEIGHT = (10, 152)  # landmarks of the forehead's top and of the chin
COLUMNS = (
    *("id", "kind", "split", "person", "frames", "seconds", "audio", "generated", "face_px"),
    *("repo", "commit", "path", "licence", "sync"),
)


@dataclass(frozen=True)
class Segment:
    """Frames (n, H, W, 3) uint8 at 25 a second, and what sounds meanwhile, (m,) float32 at 16 kHz, if anything."""

    frames: list[Pixels]
    sound: Array | None


def prepare(videos: Path, out: Path, *, licence: str, val_share: float = 0.1) -> dict[str, int]:
    """Add all videos below the folder `videos` to the corpus folder `out`; every file counts as one person.

    licence: under which the footage is used, for the index and the cards of what is trained on it. val_share: of the
    people that are held out, chosen by their names, so that they stay the same when more videos come.

    Returns how many videos were read, how many clips there are now and how many segments were dropped.

    Raises DataError: the folder has no videos.
    """
    paths = sorted(path for path in videos.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise DataError(f"no videos below {videos}; looked for {', '.join(sorted(VIDEO_SUFFIXES))}")
    (out / "clips").mkdir(parents=True, exist_ok=True)
    rows, done = _read_rows(out), _read_done(out)
    extractor = Extractor.load()
    read = dropped = 0
    for path in tqdm(paths, unit="video", mininterval=2.0):
        name = str(path.relative_to(videos))
        if name in done:
            continue
        found: list[dict[str, object]] = []
        missed = 0
        try:
            for number, segment in enumerate(read_segments(path)):
                row = write_clip(extractor, segment, out, clip_id(name, number))
                missed += row is None
                if row is not None:
                    person = name.rsplit(".", 1)[0]
                    found.append(row | {"split": split_of(person, val_share), "person": person, "licence": licence})
        except (av.FFmpegError, ValueError) as error:
            log.warning("video left out", path=name, reason=str(error))
        rows = [row for row in rows if row["path"] != name] + [row | {"path": name} for row in found]
        _write_rows(out, rows)
        with (out / "prepared.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"path": name, "clips": len(found), "dropped": missed}) + "\n")
        read += 1
        dropped += missed
    return {"videos": read, "clips": len(rows), "dropped": dropped}


def clip_id(name: str, number: int) -> str:
    """Ten hexadecimal digits that tell a video's segment."""
    return hashlib.sha256(f"{name}#{number}".encode()).hexdigest()[:10]


def split_of(person: str, val_share: float) -> str:
    """train or val, always the same for a person."""
    place = int(hashlib.sha256(person.encode()).hexdigest()[:8], 16) / 16**8
    return "val" if place < val_share else "train"


def read_segments(path: Path) -> Iterator[Segment]:
    """A video's frames, brought to 25 a second, in pieces of SEGMENT_SECONDS; too short a rest is left out."""
    sound = _read_sound(path)
    length = round(SEGMENT_SECONDS * MOTION_FPS)
    frames: list[Pixels] = []
    start = 0
    for frame in _read_frames(path):
        frames.append(frame)
        if len(frames) == length:
            yield Segment(frames, _cut(sound, start, length))
            start, frames = start + length, []
    if len(frames) >= SHORTEST_SECONDS * MOTION_FPS:
        yield Segment(frames, _cut(sound, start, len(frames)))


def write_clip(extractor: Extractor, segment: Segment, out: Path, name: str) -> dict[str, object] | None:
    """Write clips/NAME.mp4 and .npz of the largest face in the segment's longest shot, and return its index row.

    None where that is too short, or where the face is lost in it.
    """
    try:
        start, seen = _longest_shot(list(extractor.extract_video(segment.frames)))
    except NoFaceError:
        return None
    if len(seen) < SHORTEST_SECONDS * MOTION_FPS:
        return None
    if np.mean([not extraction.seen for extraction in seen]) > LOST_SHARE:
        return None
    sound = _cut(segment.sound, start, len(seen))
    landmarks = np.stack([extraction.landmarks for extraction in seen])
    quarter = np.rint(landmarks * 4).astype(np.int32)
    crop = seen[0].crop
    np.savez_compressed(
        out / "clips" / f"{name}.npz",
        first=quarter[0].astype(np.int16),
        delta=np.diff(quarter, axis=0).astype(np.int16),
        crop=np.array([crop.x, crop.y, crop.side], np.int32),
    )
    _write_mp4(out / "clips" / f"{name}.mp4", seen, sound)
    heights = landmarks[:, FACE_HEIGHT[1], 1] - landmarks[:, FACE_HEIGHT[0], 1]
    return {
        "id": name,
        "kind": "clip",
        "frames": len(seen),
        "seconds": len(seen) / MOTION_FPS,
        "audio": int(sound is not None),
        "generated": 0,
        "face_px": round(float(np.median(heights)) * crop.side / CROP_UNITS),
        "repo": "",
        "commit": "",
        "sync": "",
    }


def _longest_shot(followed: list[Extraction | None]) -> tuple[int, list[Extraction]]:
    """What lies between two cuts, shows a face and is longest: its first frame's number and the frames."""
    shots = [extraction and extraction.shot for extraction in followed]
    longest = max((shot for shot in shots if shot is not None), key=shots.count)
    return shots.index(longest), [extraction for extraction in followed if extraction and extraction.shot == longest]


def _read_frames(path: Path) -> Iterator[Pixels]:
    with av.open(str(path)) as container:
        stream = picture_stream(container)
        if stream is None:
            raise ValueError("it has no picture")
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream), graph.add("fps", f"fps={MOTION_FPS}"), graph.add("buffersink")
        ).configure()
        upright = Upright()
        for frame in (*container.decode(stream), None):
            graph.push(frame)
            while True:
                try:
                    pulled = graph.pull()
                except (av.BlockingIOError, av.EOFError):
                    break
                if isinstance(pulled, av.VideoFrame):
                    yield upright(pulled, pixel_ratio(stream))


def _read_sound(path: Path) -> Array | None:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        resampler = av.AudioResampler("flt", "mono", SOUND_RATE)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(parts) if parts else None


def _cut(sound: Array | None, start: int, frames: int) -> Array | None:
    """What sounds during frames start ... start + frames - 1, silence where it has ended; None where all is silence."""
    if sound is None:
        return None
    part = sound[start * SOUND_RATE // MOTION_FPS :][: frames * SOUND_RATE // MOTION_FPS]
    return np.pad(part, (0, frames * SOUND_RATE // MOTION_FPS - len(part))) if part.any() else None


def _write_mp4(path: Path, seen: list[Extraction], sound: Array | None) -> None:
    with written(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=MOTION_FPS, options={"crf": "16"})
        video.width = video.height = CORPUS_SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE, layout="mono") if sound is not None else None
        for extraction in seen:
            container.mux(video.encode(av.VideoFrame.from_ndarray(extraction.image, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024], dtype=np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


def _read_rows(out: Path) -> list[dict[str, object]]:
    index = out / "index.csv"
    if not index.is_file():
        return []
    with index.open(newline="", encoding="utf-8") as stream:
        return [dict(row) for row in csv.DictReader(stream)]


def _write_rows(out: Path, rows: list[dict[str, object]]) -> None:
    with written(out / "index.csv") as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _read_done(out: Path) -> set[str]:
    path = out / "prepared.jsonl"
    if not path.is_file():
        return set()
    return {json.loads(line)["path"] for line in path.read_text(encoding="utf-8").splitlines()}

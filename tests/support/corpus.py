"""Corpus folders as docs/training.md describes them, written by tests."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

COLUMNS = (
    *("id", "kind", "split", "person", "frames", "seconds", "audio", "generated", "face_px"),
    *("repo", "commit", "path", "licence", "sync"),
)


@dataclass(frozen=True)
class Item:
    """A clip, or a still, which has one frame.

    landmarks: (T, 478, 3) in pixels. pictures: T of (256, 256, 3) uint8. sound: (640 T,) float32, or None.
    """

    name: str
    split: str
    person: str
    landmarks: np.ndarray
    pictures: Sequence[np.ndarray]
    sound: np.ndarray | None = None
    columns: dict[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Of a corpus' item."""
        return "still" if len(self.pictures) == 1 else "clip"


def write_corpus(root: Path, items: Iterable[Item]) -> Path:
    """Write the items and their index; returns the folder."""
    (root / "clips").mkdir()
    (root / "stills").mkdir()
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        index = csv.DictWriter(stream, COLUMNS, restval="")
        index.writeheader()
        for item in items:
            path = root / f"{item.kind}s" / item.name
            write_landmarks(path, item.landmarks)
            if item.kind == "clip":
                write_clip(path.with_suffix(".mp4"), item.pictures, item.sound)
            else:
                cv2.imwrite(str(path.with_suffix(".jpg")), item.pictures[0][..., ::-1])
            index.writerow(
                {"id": item.name, "kind": item.kind, "split": item.split, "person": item.person}
                | {"frames": len(item.pictures), "audio": int(item.sound is not None), "generated": 0, "face_px": 200}
                | item.columns
            )
    return root


def write_speech_folder(root: Path, items: Iterable[Item]) -> Path:
    """Write the items' landmarks and sounds, with `source`, `lag` and the like in their columns; returns the folder."""
    columns = (
        "id",
        "split",
        "speaker",
        "frames",
        "seconds",
        "face_px",
        "lag",
        "sync",
        "source",
        "repo",
        "commit",
        "path",
    )
    (root / "clips").mkdir()
    with (root / "index.csv").open("w", newline="", encoding="utf-8") as stream:
        index = csv.DictWriter(stream, (*columns, "licence"), restval="")
        index.writeheader()
        for item in items:
            write_landmarks(root / "clips" / item.name, item.landmarks)
            assert item.sound is not None
            with av.open(str(root / "clips" / f"{item.name}.ogg"), "w") as container:
                stream_out = container.add_stream("libopus", rate=16_000, layout="mono")
                block = av.AudioFrame.from_ndarray(item.sound[None], format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 16_000, 0, Fraction(1, 16_000)
                container.mux(stream_out.encode(block))
                container.mux(stream_out.encode(None))
            index.writerow(
                {"id": item.name, "split": item.split, "speaker": item.person, "frames": len(item.landmarks)}
                | item.columns
            )
    return root


def write_landmarks(path: Path, landmarks: np.ndarray) -> None:
    """Landmarks (T, 478, 3) beside the media file `path` stands for."""
    quarters = np.rint(landmarks * 4).astype(np.int16)
    delta = np.diff(quarters.astype(np.int32), axis=0).astype(np.int16)
    np.savez(path.with_suffix(".npz"), first=quarters[0], delta=delta, crop=np.array([0, 0, 256], np.int32))


def write_clip(path: Path, pictures: Sequence[np.ndarray], sound: np.ndarray | None = None) -> None:
    """25 pictures a second, and 16 000 samples."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12"})
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, 0, Fraction(1, 16_000)
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))

"""Jobs through a real Redis and a real worker process with the released models."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from pydantic import TypeAdapter

from jobs.motions import CoefficientsMotion, ControlsMotion, FramesMotion, Motion
from jobs.problems import ProblemType
from jobs.schemas import (
    ImageOptions,
    ImageSpec,
    InputFile,
    JobStatus,
    MotionOptions,
    MotionsFile,
    MotionSpec,
    VideoOptions,
    VideoSpec,
)
from jobs.store.records import JobRecord
from tests.support.processes import until
from tests.worker.conftest import SAMPLES, Bench

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("worker_process")]

SPEECH = SAMPLES / "speech.flac"
TURN = ControlsMotion(controls={"yaw": 20, "smile": 0.5})


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def turn_head(bench: Bench, portrait: Path, options: ImageOptions | None = None, **keywords: str) -> str:
    return bench.submit(
        lambda job: ImageSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            motion=TURN,
            options=options or ImageOptions(),
        ),
        **keywords,
    )


def test_image_job(bench: Bench, portrait: Path, tmp_path: Path) -> None:
    unseen = tmp_path / "portrait.jpg"
    unseen.write_bytes(portrait.read_bytes() + b"unseen")  # what follows a JPEG does not count, but no worker knows it
    record = bench.succeeded(turn_head(bench, unseen))
    data = bench.result(record).read_bytes()
    image = opened(bench.result(record))
    photo = opened(portrait)
    assert image.format == "PNG"
    assert image.size == photo.size
    changed = np.abs(np.asarray(image).astype(int) - np.asarray(photo.convert("RGB"))).max(axis=2)
    assert (changed > 12).mean() > 0.01
    assert record.result is not None
    assert (record.result.media_type, record.result.bytes) == ("image/png", len(data))
    assert (record.result.width, record.result.height) == photo.size
    assert record.result.clamped is None
    assert record.result.sha256 == hashlib.sha256(data).hexdigest()
    assert {"decode", "face", "motion", "render", "paste", "encode"} <= set(record.timings)
    assert bench.files(record.id) == {"portrait.jpg", "result.png"}


def test_many_poses_of_one_portrait(bench: Bench, portrait: Path) -> None:
    turns: list[Motion] = [ControlsMotion(controls={"yaw": yaw}) for yaw in (-20, 0, 20, 45)]

    def batch(job: str) -> ImageSpec:
        stored = bench.put(job, "portrait.jpg", portrait, "image/jpeg")
        return ImageSpec(portrait=stored, motions=turns, options=ImageOptions(format="webp", paste_back=False))

    record = bench.succeeded(bench.submit(batch))
    assert record.result is not None
    assert (record.result.media_type, record.result.images, record.result.width) == ("application/zip", 4, 256)
    assert record.result.clamped == 1  # the last is more than a portrait that faces the camera allows
    with zipfile.ZipFile(bench.result(record)) as archive:
        assert archive.namelist() == ["001.webp", "002.webp", "003.webp", "004.webp"]
        left, ahead, right, _ = (np.asarray(Image.open(archive.open(name))).astype(int) for name in archive.namelist())
    assert min(np.abs(left - ahead).mean(), np.abs(right - ahead).mean()) > 2
    assert np.abs(left - right).mean() > np.abs(left - ahead).mean()


def test_a_portrait_seen_before_needs_no_face_finding(bench: Bench, portrait: Path, tmp_path: Path) -> None:
    other = tmp_path / "portrait.jpg"
    with Image.open(portrait) as photo:
        photo.save(other, quality=90)
    first, again = (bench.finished(turn_head(bench, other)) for _ in range(2))
    assert "face" in first.timings
    assert "face" not in again.timings
    assert bench.result(first).read_bytes() == bench.result(again).read_bytes()
    chosen = bench.finished(bench.submit(lambda job: still(job, bench, other, face=9)))
    assert chosen.error is not None  # another face of the same photo is another question
    assert chosen.error.type == ProblemType.NO_SUCH_FACE.uri


def test_image_options(bench: Bench, portrait: Path) -> None:
    record = bench.finished(turn_head(bench, portrait, ImageOptions(paste_back=False, size=300, format="webp")))
    image = opened(bench.result(record))
    assert (image.format, image.size) == ("WEBP", (300, 300))


def beginning(speech: Path, seconds: float, **form: str) -> bytes:
    """The first seconds of a sound, as a WAV or in another form."""
    samples, rate = soundfile.read(speech, frames=round(seconds * soundfile.info(speech).samplerate))
    sound = io.BytesIO()
    soundfile.write(sound, samples, rate, **({"format": "WAV"} | form))
    return sound.getvalue()


def test_motions_lie_in_files(bench: Bench, portrait: Path) -> None:
    sequence = json.dumps({"space": "open478", "frames": [[0.0] * 70] * 3}).encode()
    poses = json.dumps([{"controls": {"yaw": yaw}} for yaw in (0, 10)]).encode()
    video = bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            motion_file=bench.put(job, "motion.json", b"\xef\xbb\xbf" + sequence, "application/json"),
            options=VideoOptions(paste_back=False),
        )
    )
    images = bench.submit(
        lambda job: ImageSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            motions_file=MotionsFile(**bench.put(job, "motions.json", poses, "application/json").model_dump(), count=2),
            options=ImageOptions(paste_back=False),
        )
    )
    made, archived = bench.finished(video).result, bench.finished(images).result
    assert made is not None
    assert made.frames == 3
    assert archived is not None
    assert (archived.media_type, archived.images) == ("application/zip", 2)


def test_motion_of_a_photo_drives_it_again(bench: Bench, portrait: Path) -> None:
    extraction = bench.submit(lambda job: MotionSpec(source=bench.put(job, "source.jpg", portrait, "image/jpeg")))
    motion = TypeAdapter(Motion).validate_json(bench.result(bench.finished(extraction)).read_text())
    assert isinstance(motion, CoefficientsMotion)
    record = bench.finished(
        bench.submit(
            lambda job: ImageSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                motion=motion,
                options=ImageOptions(format="jpeg"),
            )
        )
    )
    assert record.status is JobStatus.SUCCEEDED, record.error
    again = np.asarray(opened(bench.result(record))).astype(int)
    difference = np.abs(again - np.asarray(opened(portrait).convert("RGB")))
    assert difference.mean() < 6  # its own motion leaves a photo nearly as it was


def read_with_overlay(bench: Bench, source: Path, name: str, media_type: str) -> JobRecord:
    """The job, when it has ended, that reads the motion in a file and draws it over the file."""
    return bench.finished(
        bench.submit(
            lambda job: MotionSpec(source=bench.put(job, name, source, media_type), options=MotionOptions(overlay=True))
        )
    )


def unpacked(bench: Bench, record: JobRecord, overlay: str, folder: Path) -> Motion:
    """The motion in a ZIP; the overlay is unpacked to `folder`."""
    assert record.status is JobStatus.SUCCEEDED, record.error
    assert record.result is not None
    assert record.result.media_type == "application/zip"
    assert len(bench.files(record.id)) == 2  # the source and this; nothing is left of its parts
    with zipfile.ZipFile(bench.result(record)) as archive:
        assert archive.namelist() == ["motion.json", overlay]
        archive.extract(overlay, folder)
        return TypeAdapter(Motion).validate_json(archive.read("motion.json"))


def test_an_overlay_shows_what_was_read_in_a_photo(bench: Bench, portrait: Path, tmp_path: Path) -> None:
    record = read_with_overlay(bench, portrait, "source.jpg", "image/jpeg")
    motion = unpacked(bench, record, "overlay.png", tmp_path)
    assert isinstance(motion, CoefficientsMotion)
    assert motion.confidence is not None
    assert motion.confidence > 0.9
    assert motion.crop is not None
    with Image.open(tmp_path / "overlay.png") as drawn, Image.open(portrait) as photo:
        assert (record.result.width, record.result.height) == drawn.size == photo.size  # type: ignore[union-attr]
        assert "XML:com.adobe.xmp" not in drawn.info  # it shows what a camera saw
        changed = np.abs(np.asarray(drawn).astype(int) - np.asarray(photo.convert("RGB"))).max(axis=2) > 60
    left, top, side = round(motion.crop.x), round(motion.crop.y), round(motion.crop.side)
    assert changed[top - 2 : top + 3, left : left + side].any(axis=0).mean() > 0.9  # the square
    assert changed[: top - 4].sum() == 0
    assert changed[:, : left - 4].mean() < 0.01  # but for the numbers below


def test_driving_image(bench: Bench, portrait: Path) -> None:
    record = bench.finished(
        bench.submit(
            lambda job: ImageSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                driving=bench.put(job, "driving.jpg", portrait, "image/jpeg"),
            )
        )
    )
    assert record.status is JobStatus.SUCCEEDED, record.error


def test_frames_at_another_rate(bench: Bench, portrait: Path) -> None:
    rows = [[0.0] * 64 + [0.01 * t] + [0.0] * 5 for t in range(15)]
    record = bench.finished(
        bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                motion=FramesMotion(space="open478", fps=30, frames=rows),
                options=VideoOptions(fps=10, paste_back=False, size=128),
            )
        )
    )
    assert record.status is JobStatus.SUCCEEDED, record.error
    assert record.result is not None
    assert (record.result.frames, record.result.fps, record.result.width) == (5, 10.0, 128)


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def still(job: str, bench: Bench, photo: Path | bytes, motion: Motion = TURN, **options: object) -> ImageSpec:
    portrait: InputFile = bench.put(job, "portrait.jpg", photo, "image/jpeg")
    return ImageSpec(portrait=portrait, motion=motion, options=ImageOptions.model_validate(options))


def test_a_fault_of_our_own_tells_nothing(bench: Bench, portrait: Path) -> None:
    """The stored upload vanishes."""

    def spoiled(job: str) -> ImageSpec:
        spec = still(job, bench, portrait)
        bench.artifacts.path(spec.portrait.key).unlink()
        return spec

    record = bench.finished(bench.submit(spoiled))
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert (record.error.type, record.error.status) == (ProblemType.INTERNAL.uri, 500)
    assert str(bench.folder) not in record.error.model_dump_json()


def test_cancel(bench: Bench, portrait: Path) -> None:
    job_id = bench.submit_sway(portrait, 60)
    assert bench.rendering(job_id).status is JobStatus.RUNNING
    bench.store.request_cancel(job_id)
    record = bench.wait(job_id, lambda record: record.status.finished)
    assert record.status is JobStatus.CANCELED
    until(lambda: bench.files(job_id) == {"portrait.jpg"}, "its files stay")  # they go just after it was told
    bench.succeeded(turn_head(bench, portrait))


def test_an_image_goes_before_a_video_and_owners_take_turns(bench: Bench, portrait: Path) -> None:
    running = bench.submit_sway(portrait, 4)
    bench.rendering(running)
    video = bench.submit_sway(portrait, 0.1)
    images = [turn_head(bench, portrait, owner=owner) for owner in ("busy", "busy", "busy", "modest")]
    records = [bench.finished(job) for job in (*images, video)]
    assert all(record.status is JobStatus.SUCCEEDED for record in records)
    order = sorted(records, key=lambda record: record.started_at or record.created_at)
    assert [record.id for record in order] == [images[0], images[3], images[1], images[2], video]


def test_lines_of_the_log_carry_the_ids_of_job_and_request(bench: Bench, portrait: Path) -> None:
    job_id = bench.finished(turn_head(bench, portrait, request_id="order-17")).id
    lines = [json.loads(line) for line in (bench.folder / "worker.log").read_text().splitlines() if job_id in line]
    ours = {line["event"]: line for line in lines if line["logger"] == "worker.queue.runner"}
    assert {"job begins", "job succeeded"} <= set(ours)
    assert {line["request_id"] for line in ours.values()} == {"order-17"}


def test_the_worker_is_known_while_it_lives(bench: Bench, portrait: Path) -> None:
    bench.wait_for_workers(1)
    (worker,) = bench.store.workers.live().values()
    job_id = bench.submit_sway(portrait, 1)
    bench.rendering(job_id)
    assert str(bench.child(job_id)) == worker["pid"]
    bench.finished(job_id)


def test_delete_while_running(bench: Bench, portrait: Path) -> None:
    job_id = bench.submit_sway(portrait, 60)
    bench.rendering(job_id)
    bench.store.delete(job_id)
    bench.artifacts.delete_folder(job_id)
    bench.succeeded(turn_head(bench, portrait))
    assert bench.store.get(job_id) is None
    assert not bench.artifacts.path(f"{job_id}/x").parent.exists()

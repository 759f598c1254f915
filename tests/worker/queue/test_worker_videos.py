"""Videos that a real worker process makes with the released models."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from pydantic import TypeAdapter

from jobs.motions import ControlsMotion, FramesMotion, Motion
from jobs.schemas import (
    JobStatus,
    MotionSpec,
    VideoOptions,
    VideoSpec,
)
from tests.support.films import seconds_of
from tests.worker.conftest import Bench, WorkerProcess
from tests.worker.queue.test_worker_process import beginning, read_with_overlay, unpacked

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("worker_process")]


def say(bench: Bench, portrait: Path, sound: bytes | Path, media_type: str = "audio/wav", **options: object) -> str:
    """Queue a talking head whose longest side is 320 pixels."""
    return bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            audio=bench.put(job, "audio", sound, media_type),
            options=VideoOptions.model_validate({"seed": 1, "size": 320, **options}),
        )
    )


@pytest.fixture(scope="module")
def talking(bench: Bench, portrait: Path, speech: Path, worker_process: WorkerProcess, speech_weights: None) -> Path:
    """The talking head made of the sample portrait and the beginning of the sample speech."""
    job_id = say(bench, portrait, beginning(speech, 1.2))
    record = bench.succeeded(job_id)
    assert record.result is not None
    assert (record.result.frames, record.result.fps, record.result.duration) == (30, 25.0, 1.2)
    assert max(record.result.width or 0, record.result.height or 0) == 320
    return bench.result(record)


def test_talking_head_job(talking: Path) -> None:
    assert talking.read_bytes().index(b"moov") < talking.read_bytes().index(b"mdat")
    with av.open(str(talking)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, audio.codec_context.name) == ("h264", "yuv420p", "aac")
        assert seconds_of(video) == pytest.approx(1.2, abs=0.04)
        assert seconds_of(audio) == pytest.approx(1.2, abs=0.04)
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(frames) == 30
    assert max(np.abs(frame - frames[0]).max() for frame in frames) > 40  # the face moves


def test_the_same_seed_gives_the_same_video_bit_for_bit(
    bench: Bench, portrait: Path, speech: Path, talking: Path
) -> None:
    jobs = [say(bench, portrait, beginning(speech, 1.2), seed=seed) for seed in (1, 2)]
    again, other = (bench.result(bench.finished(job)).read_bytes() for job in jobs)
    assert again == talking.read_bytes()
    assert other != again


def test_the_sound_of_a_video_is_spoken(bench: Bench, portrait: Path, talking: Path) -> None:
    record = bench.finished(say(bench, portrait, talking, "audio/mp4"))
    assert record.result is not None, record.error
    assert record.result.frames == 30
    with av.open(str(bench.result(record))) as made, av.open(str(talking)) as source:
        pictures = [next(container.decode(video=0)).to_ndarray(format="rgb24") for container in (made, source)]
        assert made.streams.audio[0].rate == source.streams.audio[0].rate
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() < 2  # the same portrait, at its own motion


def test_studio_sound_is_spoken(bench: Bench, portrait: Path, speech: Path) -> None:
    samples, rate = soundfile.read(speech, frames=soundfile.info(speech).samplerate)
    studio, sound = np.repeat(soxr.resample(samples, rate, 96_000)[:, None], 6, axis=1), io.BytesIO()
    soundfile.write(sound, studio, 96_000, format="WAV", subtype="PCM_24")
    record = bench.finished(say(bench, portrait, sound.getvalue()))
    assert record.result is not None, record.error
    assert (record.result.frames, record.result.duration) == (25, 1.0)


def test_driving_video_and_its_motion(bench: Bench, portrait: Path, talking: Path) -> None:
    extraction = bench.submit(lambda job: MotionSpec(source=bench.put(job, "source.mp4", talking, "video/mp4")))
    followed = bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            driving=bench.put(job, "driving.mp4", talking, "video/mp4"),
            options=VideoOptions(paste_back=False),
        )
    )
    record = bench.finished(extraction)
    motion = TypeAdapter(Motion).validate_json(bench.result(record).read_text())
    assert isinstance(motion, FramesMotion)
    assert np.asarray(motion.frames).shape == (30, 70)
    record = bench.succeeded(followed)
    assert record.result is not None
    assert (record.result.frames, record.result.width, record.result.height) == (30, 256, 256)
    assert record.result.frames_without_face == 0
    with av.open(str(bench.result(record))) as container:
        assert len(container.streams.audio) == 1  # the driving video's sound came along


def test_speech_over_a_driving_video(bench: Bench, portrait: Path, speech: Path, talking: Path) -> None:
    record = bench.finished(
        bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                audio=bench.put(job, "audio.wav", beginning(speech, 1.6), "audio/wav"),
                driving=bench.put(job, "driving.mp4", talking, "video/mp4"),
                options=VideoOptions(seed=1, paste_back=False),
            )
        )
    )
    assert record.status is JobStatus.SUCCEEDED, record.error
    assert record.result is not None
    assert (record.result.frames, record.result.duration) == (40, 1.6)  # the speech's, longer than the video
    with av.open(str(bench.result(record))) as container:
        assert len(container.streams.audio) == 1


def test_a_motion_is_put_on_top_of_speech_wherever_it_lies(bench: Bench, portrait: Path, speech: Path) -> None:
    smile = ControlsMotion(controls={"smile": 0.6})

    def say_with(motion: Motion | None, text: bytes | None = None) -> str:
        return bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                audio=bench.put(job, "audio.wav", beginning(speech, 0.5), "audio/wav"),
                motion=motion,
                motion_file=None if text is None else bench.put(job, "motion.json", text, "application/json"),
                options=VideoOptions(seed=1, paste_back=False),
            )
        )

    jobs = say_with(None), say_with(smile), say_with(None, smile.model_dump_json().encode())
    plain, smiles, also = (bench.result(bench.finished(job)).read_bytes() for job in jobs)
    assert smiles == also != plain


def test_an_overlay_of_a_video_has_its_frames_and_its_sound(
    bench: Bench, portrait: Path, talking: Path, tmp_path: Path
) -> None:
    record = read_with_overlay(bench, talking, "source.mp4", "video/mp4")
    motion = unpacked(bench, record, "overlay.mp4", tmp_path)
    assert isinstance(motion, FramesMotion)
    assert motion.confidence is not None
    assert len(motion.confidence) == len(motion.frames) == 30
    assert record.result is not None
    assert (record.result.frames, record.result.duration) == (30, 1.2)
    assert b"trainedAlgorithmicMedia" in talking.read_bytes()
    assert b"trainedAlgorithmicMedia" not in (tmp_path / "overlay.mp4").read_bytes()
    with av.open(str(tmp_path / "overlay.mp4")) as drawn, av.open(str(talking)) as source:
        video = drawn.streams.video[0]
        assert (video.width, video.height) == (record.result.width, record.result.height)
        assert (video.width, video.height) == (source.streams.video[0].width, source.streams.video[0].height)
        assert seconds_of(drawn.streams.audio[0]) == pytest.approx(1.2, abs=0.05)
        for before, after in zip(source.decode(video=0), drawn.decode(video=0), strict=True):
            difference = np.abs(before.to_ndarray(format="rgb24").astype(int) - after.to_ndarray(format="rgb24"))
            assert 0.02 < (difference.max(axis=2) > 40).mean() < 0.4
    again = bench.finished(
        bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
                motion=motion,
                options=VideoOptions(paste_back=False),
            )
        )
    )
    assert again.status is JobStatus.SUCCEEDED, again.error
    assert again.result is not None
    assert again.result.frames == 30

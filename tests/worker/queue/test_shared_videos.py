"""Videos that several workers share: the same as one worker's, whole at every length, and in nobody's way."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from jobs.formats import VideoFormat
from jobs.motions import ControlsMotion, Keyframe, KeyframesMotion
from jobs.schemas import ImageSpec, JobStatus, Progress, VideoOptions, VideoSpec
from jobs.segments import FIRST_LENGTHS, LENGTH, LONG_FRAMES, cut
from jobs.store.records import JobRecord
from tests.support.films import film
from tests.support.processes import until
from tests.worker.conftest import Bench, WorkerProcess
from worker.media.stream import frame_rate

pytestmark = pytest.mark.slow

Grow = Callable[[int], None]


@pytest.fixture(scope="module")
def grow(bench: Bench, tiny: dict[str, str]) -> Iterator[Grow]:
    """Starts workers until there are so many."""
    started: list[WorkerProcess] = []

    def start_workers(count: int) -> None:
        started.extend(bench.start_worker(**tiny) for _ in range(count - len(started)))
        bench.wait_for_workers(len(started))

    yield start_workers
    stop(started)


def stop(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.stop()


def holders(bench: Bench) -> set[str]:
    """Who works on parts of videos."""
    locks = [bench.store.claims.lock(turn.job_id, turn.part or "") for turn in bench.store.turns.taken()]
    return {lock.partition("|")[0] for lock in locks if lock is not None}


def say(bench: Bench, portrait: Path, sound: Path, **options: object) -> str:
    return bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            audio=bench.put(job, "audio.wav", sound, "audio/wav"),
            options=VideoOptions.model_validate({"seed": 1, "paste_back": False, "size": 64, **options}),
        )
    )


def spoken(folder: Path, speech: Path, seconds: float) -> Path:
    """So long a speech."""
    samples, rate = soundfile.read(speech)
    path = folder / f"{seconds:g}.wav"
    soundfile.write(path, np.resize(samples, round(seconds * rate)), rate)
    return path


def parts_of(bench: Bench, job_id: str) -> set[str]:
    """Which of a job's files were made for its parts, by what they begin with."""
    return {name.partition("-")[0] for name in bench.files(job_id)} - {"portrait.jpg", "audio.wav", "result.mp4"}


def read(path: Path) -> tuple[list[Fraction], float, float]:
    """When each picture is shown, and the seconds at which the sound begins and ends."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * packet.time_base for packet in container.demux(stream) if packet.pts is not None)
    with av.open(str(path)) as container:
        spans = [(frame.time or 0.0, frame.samples / frame.sample_rate) for frame in container.decode(audio=0)]
    return times, spans[0][0], sum(spans[-1])


def test_an_image_waits_for_a_segment_at_most(bench: Bench, portrait: Path, grow: Grow) -> None:
    grow(1)
    video = bench.submit_sway(portrait, 100)
    short = sum(FIRST_LENGTHS)
    bench.wait(video, lambda record: (record.progress.done if record.progress else 0) > short)
    before = bench.job(video).progress
    image = bench.submit(lambda job: turned(bench, job, portrait))
    bench.succeeded(image)
    after = bench.job(video).progress
    assert before is not None
    assert after is not None
    assert after.total == 2501
    assert after.done - before.done <= 2 * LENGTH
    bench.store.request_cancel(video)
    assert bench.finished(video).status is JobStatus.CANCELED
    until(lambda: bench.files(video) == {"portrait.jpg"}, "files are left")


def test_an_image_does_not_wait_for_a_plan(bench: Bench, portrait: Path, tmp_path: Path, grow: Grow) -> None:
    """Reading a long driving video takes as long as rendering some of it."""
    with Image.open(portrait) as photo:
        still = np.asarray(photo.convert("RGB").resize((256, 300)))
    driver = film(tmp_path / "driver.mp4", [np.roll(still, number % 3, 1) for number in range(25 * 60)], crf=30)
    grow(1)
    video = bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"),
            driving=bench.put(job, "driver.mp4", driver, "video/mp4"),
            options=VideoOptions(paste_back=False, size=64),
        )
    )
    bench.wait(video, lambda record: record.progress is not None and record.progress.stage != "decode")
    image = bench.submit(lambda job: turned(bench, job, portrait))
    bench.succeeded(image)
    assert bench.store._redis.hget(f"pirenderer:job:{video}", "planned") is None
    bench.wait(video, lambda record: bench.store.segments.stream(video) is not None)  # it plays while it is planned
    assert bench.store._redis.hget(f"pirenderer:job:{video}", "planned") is None
    bench.store.delete(video)
    bench.artifacts.delete_folder(video)


@pytest.mark.usefixtures("speech_weights")
def test_one_worker_and_three_make_the_same_video(
    bench: Bench, portrait: Path, speech: Path, tmp_path: Path, grow: Grow
) -> None:
    sound = spoken(tmp_path, speech, 9)
    grow(1)
    alone = bench.succeeded(say(bench, portrait, sound))
    grow(3)
    job_id = say(bench, portrait, sound)
    seen: set[str] = set()

    def ended(record: JobRecord) -> bool:
        seen.update(holders(bench))
        return record.status.finished

    bench.wait(job_id, ended)
    together = bench.succeeded(job_id)
    assert len(seen) == 3
    assert bench.result(together).read_bytes() == bench.result(alone).read_bytes()
    until(lambda: parts_of(bench, job_id) == {"init", "segment"}, lambda: f"left are {parts_of(bench, job_id)}")
    stream = bench.store.segments.stream(job_id)
    assert stream is not None
    assert [segment.frames for segment in stream.segments] == [len(span) for span in cut(225)]
    assert stream.complete
    kept = sum(bench.artifacts.path(segment.key).stat().st_size for segment in stream.segments)
    assert bench.store.kept("tests")["files"] >= kept + bench.result(together).stat().st_size


@pytest.mark.usefixtures("speech_weights")
def test_videos_are_whole_at_every_length_and_rate(
    bench: Bench, portrait: Path, speech: Path, tmp_path: Path, grow: Grow
) -> None:
    wanted = [(25.0, seconds) for seconds in (0.48, 0.5, 0.52, 1, 4, 4.04)]
    wanted += [(fps, seconds) for fps in (24, 29.97, 30, 60) for seconds in (0.5, 1.04)]
    wanted.append(long := (60, 10.12))  # of two pieces of speech, and with short segments at its end
    assert long[0] * long[1] > LONG_FRAMES
    grow(3)
    jobs = [say(bench, portrait, spoken(tmp_path, speech, seconds), fps=fps) for fps, seconds in wanted]
    for (fps, seconds), job_id in zip(wanted, jobs, strict=True):
        record = bench.finished(job_id)
        assert record.result is not None, record.error
        frames, rate = round(round(seconds * 25) / 25 * fps), frame_rate(fps)
        assert record.result.frames == frames
        times, begins, ends = read(bench.result(record))
        assert [float(time) for time in times] == pytest.approx([float(n / rate) for n in range(frames)], abs=1e-4)
        assert begins == pytest.approx(0, abs=1e-4)
        # it ends with the last picture, or up to a picture later, and with what an AAC packet holds more
        assert frames / rate - 1e-3 <= ends <= (frames + 1) / rate + 1024 / 16_000, (fps, seconds)


def turned(bench: Bench, job: str, portrait: Path) -> ImageSpec:
    return ImageSpec(
        portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motion=ControlsMotion(controls={"yaw": 20})
    )


def sway_as(bench: Bench, portrait: Path, name: VideoFormat, *, frames: int, size: int) -> str:
    """A video in a format, of a head that turns."""
    end = (frames - 1) / 25
    motion = KeyframesMotion(keyframes=[Keyframe(t=0, controls={"yaw": -15}), Keyframe(t=end, controls={"yaw": 15})])
    options = VideoOptions(paste_back=False, size=size, format=name)
    return bench.submit(
        lambda job: VideoSpec(
            portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motion=motion, options=options
        )
    )


def test_a_gif_is_made_of_what_several_workers_rendered(bench: Bench, portrait: Path, grow: Grow) -> None:
    grow(2)
    record = bench.succeeded(sway_as(bench, portrait, "gif", frames=60, size=64))
    assert record.result is not None
    assert (record.result.media_type, record.result.frames, record.result.duration) == ("image/gif", 60, 2.4)
    assert record.progress == Progress(stage="encode", done=60, total=60)
    with Image.open(bench.result(record)) as image:
        assert image.n_frames == 60  # type: ignore[attr-defined]
    stream = bench.store.segments.stream(record.id)
    assert stream is not None
    assert stream.complete
    assert [segment.frames for segment in stream.segments] == [len(span) for span in cut(60)]


def test_a_job_is_canceled_while_it_is_encoded_anew(bench: Bench, portrait: Path, grow: Grow) -> None:
    grow(1)
    job_id = sway_as(bench, portrait, "gif", frames=100, size=512)

    def encoding(record: JobRecord) -> bool:
        progress = record.progress
        return record.status.finished or (progress is not None and progress.stage == "encode" and progress.done > 0)

    progress = bench.wait(job_id, encoding).progress
    bench.store.request_cancel(job_id)
    ended = bench.finished(job_id)
    assert ended.status is JobStatus.CANCELED
    assert progress is not None
    assert progress.done < 100
    until(lambda: bench.files(job_id) == {"portrait.jpg"}, "files of a canceled job stay")

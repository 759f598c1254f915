"""What children decode is what the plain readers read, and they refuse the same."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from jobs.problems import ProblemError, ProblemType
from tests.worker.decoding.test_decoding import IMAGES, SOUNDS, VIDEOS, noise
from worker import decoding
from worker.media import audio, images, video


@pytest.mark.slow
def test_pictures(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x112] = 6
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "large.png": (Image.fromarray(noise(2304, 2048)), {"compress_level": 1}),  # of more rows than come at once
        "turned.jpg": (Image.fromarray(noise(64, 48)), {"exif": turned}),
        "transparent.png": (Image.fromarray(noise(64, 48, 4)), {}),
        "deep.png": (Image.fromarray(noise(64, 48, 1)[:, :, 0].astype(np.uint16) * 257), {}),
        "a.webp": (Image.fromarray(noise(64, 48)), {}),
        "cmyk.jpg": (Image.fromarray(noise(64, 48)).convert("CMYK"), {}),
    }
    for name, (image, options) in kinds.items():
        image.save(tmp_path / name, **options)
        read = decoding.read_image(tmp_path / name, IMAGES)
        np.testing.assert_array_equal(read, images.read_image(tmp_path / name, IMAGES), err_msg=name)


def test_sound_and_video(tmp_path: Path) -> None:
    wave = np.sin(np.arange(48_000) / 20)[:, None] * [0.5, -0.25]
    soundfile.write(tmp_path / "a.flac", wave, 16_000)
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        pictures = container.add_stream("libx264", rate=Fraction(25))
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        for shade in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * shade, np.uint8), format="rgb24")
            container.mux(pictures.encode(frame))
        samples = av.AudioFrame.from_ndarray(wave[None, :16_000, 0].astype(np.float32), format="fltp", layout="mono")
        samples.sample_rate = 16_000
        container.mux(sound.encode(samples))
        for stream in (pictures, sound):
            container.mux(stream.encode(None))
    for name in ("a.flac", "a.mp4"):
        plain, read = audio.read_speech(tmp_path / name, SOUNDS), decoding.read_speech(tmp_path / name, SOUNDS)
        assert (read.seconds, read.sound.rate, read.sound.channels, read.sound.seconds) == (
            plain.seconds, plain.sound.rate, plain.sound.channels, plain.sound.seconds,
        )  # fmt: skip
        np.testing.assert_array_equal(np.concatenate([*read]), np.concatenate([*plain]))
    known, source = video.open_video(tmp_path / "a.mp4", VIDEOS), decoding.open_video(tmp_path / "a.mp4", VIDEOS)
    assert (source.width, source.height, source.seconds, source.has_sound) == (64, 48, known.seconds, True)
    np.testing.assert_array_equal([*source.frames(25)], [*known.frames(25)])


def test_refusals_are_those_of_the_plain_readers(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"GIF89a, or so it says")
    plain: ProblemError | None = None
    for read in (images.read_image, decoding.read_image):
        with pytest.raises(ProblemError) as caught:
            read(path, IMAGES, name="driving image")
        if plain is not None:
            assert vars(caught.value) == vars(plain)
        plain = caught.value
    assert plain is not None
    assert plain.problem_type is ProblemType.UNSUPPORTED_MEDIA

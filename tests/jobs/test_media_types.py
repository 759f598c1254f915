"""Files are recognised by how they begin, and what is taken is said in one place."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from jobs.media_types import AUDIO_TYPES, IMAGES, SOUNDS, SUFFIXES, UNKNOWN, VIDEOS, listed, recognise, type_of
from tests.support.films import film
from tests.support.paths import ROOT


def brands(first: bytes, *others: bytes) -> bytes:
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + first + bytes(4) + b"".join(others) + bytes(60)


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        *((brands(brand, b"mif1"), "image/heic") for brand in (b"heic", b"heix", b"heim", b"heis")),
        *((brands(brand, b"mif1", b"heic"), "image/heic") for brand in (b"hevc", b"hevx", b"hevm", b"hevs")),
        *((brands(brand), "image/heic") for brand in (b"mif1", b"msf1", b"miaf", b"hevc")),
        *((brands(brand, b"avif", b"miaf"), "image/avif") for brand in (b"avif", b"avis", b"mif1", b"miaf", b"msf1")),
        (brands(b"mif1", b"heic", b"miaf"), "image/heic"),
        (brands(b"heic", b"mif1", b"avif"), "image/heic"),
        (brands(b"isom", b"avif"), "image/avif"),
        (brands(b"isom", b"heic"), "image/heic"),
        (brands(b"mp42", b"isom", b"mif1", b"hevc"), "video/mp4"),
        (brands(b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4"),
        (brands(b"3gp4"), "video/mp4"),
        (brands(b"M4A ", b"isom"), "audio/mp4"),
        (brands(b"qt  "), "video/quicktime"),
        (brands(b"crx ", b"isom"), "image/x-canon-cr3"),
        (b"\0\0\0\x08wide\0\0\0\0mdat" + bytes(40), "video/quicktime"),
        (b"\x1a\x45\xdf\xa3\x8b\x42\x82\x84webm" + bytes(40), "video/webm"),
        (b"\x1a\x45\xdf\xa3\x93\x42\x86\x81\1\x42\x82\x88matroska" + bytes(40), "video/matroska"),
        (b"\xff\xf1\x50\x80\x01\xff\xfc" + bytes(8) + b"\xff\xf1\x50\x80", "audio/aac"),
        (b"\xff\xfb\x90\x00" + bytes(80), "audio/mpeg"),
        (bytes(300) + b"\xff\xfb\x90\x00" + bytes(80), "audio/mpeg"),
        ("\ufeff{}, and so on".encode("utf-16"), UNKNOWN),
        (bytes(4096), UNKNOWN),
        (b"\x47" * 4096, "video/mp2t"),
        ((b"\0\0\0\0\x47" + bytes(187)) * 5, "video/mp2t"),
        (b"G" + bytes(500), UNKNOWN),
        (b"#!AMR\n", "audio/amr"),
        (b"#!AMR-WB\n", "audio/amr-wb"),
        (b"FORM\0\0\0\x20AIFFCOMM", "audio/aiff"),
        (b"FORM\0\0\0\x20AIFCFVER", "audio/aiff"),
        (b"RIFX\0\0\0\x20WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\x20AVI LIST", "video/x-msvideo"),
        (b".snd\0\0\0\x18", "audio/basic"),
        (b"caff\0\1\0\0", "audio/x-caf"),
        (b"FLV\1\5\0\0\0\x09", "video/x-flv"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "video/x-ms-asf"),
        (b"\0\0\1\xba\x44", "video/mpeg"),
        (b"MM\0*\0\0\0\x08", "image/tiff"),
        (b"\0\0\1\0\1\0", "image/vnd.microsoft.icon"),
        (b"8BPS\0\1", "image/vnd.adobe.photoshop"),
        (b"\xff\x0a\xfa", "image/jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "image/jxl"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "image/jp2"),
        (b"\xff\x4f\xff\x51\0", "image/jp2"),
    ],
)
def test_a_type_is_known_by_how_its_files_begin(head: bytes, media_type: str) -> None:
    assert recognise(head) == media_type


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "ICO"])
def test_no_picture_of_a_common_format_is_taken_for_another(form: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, form)
    others = {"JPEG2000": "image/jp2", "ICO": "image/vnd.microsoft.icon", "PPM": "image/x-portable-anymap"}
    assert recognise(buffer.getvalue()) == others.get(form, f"image/{form.lower()}")


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"])
def test_every_sound_that_is_written_is_one_that_is_taken(form: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(4000), 16_000, format=form)
    assert recognise(buffer.getvalue()) in AUDIO_TYPES


@pytest.mark.parametrize("kind", VIDEOS)
def test_every_video_that_is_taken_is_recognised(tmp_path: Path, kind: tuple[str, str, str]) -> None:
    name, _, suffix = kind
    codec = {"webm": "libvpx", "avi": "mpeg4"}.get(suffix, "libx264")
    assert type_of(film(tmp_path / f"a.{suffix}", [np.zeros((64, 64, 3), np.uint8)] * 3, codec=codec)) == name


def test_what_is_taken_is_said_the_same_everywhere() -> None:
    assert listed(IMAGES) == "JPEG, PNG, WebP, HEIC or AVIF"
    readme = (ROOT / "README.md").read_text()  # the page asks the service
    for kinds in (IMAGES, SOUNDS, VIDEOS):
        assert listed(kinds) in readme
    assert len(set(SUFFIXES)) == len(IMAGES) + len(SOUNDS) + len(VIDEOS)

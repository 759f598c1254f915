"""Results signed with the operator's certificate: real jobs, read by the library and, apart from it, byte by byte."""

import io
import json
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import c2pa
import cv2
import numpy as np
import pytest
from PIL import Image

from jobs.formats import VideoFormat
from jobs.motions import ControlsMotion, Keyframe, KeyframesMotion
from jobs.schemas import ImageOptions, ImageSpec, JobStatus, VideoOptions, VideoSpec
from jobs.store.records import JobRecord
from tests.support.certificates import Chain, make_chain
from tests.worker.conftest import Bench, frames_in
from tests.worker.media.test_marking import SOURCE, source_type
from tests.worker.media.test_mp4 import atoms

pytestmark = pytest.mark.slow

MANIFEST_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # C2PA specification, "Embedding manifests into BMFF"
TURN = ControlsMotion(controls={"yaw": 10})
SUPERBOXES = [
    "c2pa", "c2pa.assertions", "c2pa.actions.v2", "c2pa.claim.v2", "c2pa.signature",
]  # fmt: skip


@pytest.fixture(scope="module")
def chain(bench: Bench, tiny: dict[str, str]) -> Iterator[Chain]:
    """That of a worker which signs, and which runs meanwhile."""
    made = make_chain()
    process = bench.start_worker(**tiny, **made.write(bench.folder))
    yield made
    process.stop()


def manifest(data: bytes, media_type: str, chain: Chain) -> dict[str, Any]:
    """The active manifest, when it is valid and its signer is trusted by the chain's authority."""
    trust = {"trust": {"trust_anchors": chain.authority.decode()}, "verify": {"verify_trust": True}}
    context = c2pa.Context(settings=c2pa.Settings.from_dict(trust))
    with c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader:
        store = json.loads(reader.json())
        assert (reader.get_validation_state(), store.get("validation_status")) == ("Trusted", None)
    found: dict[str, Any] = store["manifests"][store["active_manifest"]]
    return found


def made_by(found: dict[str, Any]) -> tuple[str, str]:
    (actions,) = [each for each in found["assertions"] if each["label"].startswith("c2pa.actions")]
    (action,) = actions["data"]["actions"]
    return action["action"], action["digitalSourceType"].rpartition("/")[2]


def jumbf(data: bytes, media_type: str) -> bytes:
    """The manifest store as it lies in the file."""
    if media_type == "image/png":
        at = data.index(b"caBX")
        (size,) = struct.unpack(">I", data[at - 4 : at])
        return data[at + 4 : at + 4 + size]
    if media_type == "image/webp":
        at = data.index(b"C2PA")
        (size,) = struct.unpack("<I", data[at + 4 : at + 8])
        return data[at + 8 : at + 8 + size]
    if media_type == "image/jpeg":  # one APP11 segment: marker, length, "JP", number of box and of packet
        at = data.index(b"\xff\xeb")
        (size,) = struct.unpack(">H", data[at + 2 : at + 4])
        return data[at + 12 : at + 2 + size]
    if media_type == "image/gif":  # blocks of an application extension, each with its length
        at, store = data.index(b"C2PA_GIF") + 11, b""
        while size := data[at]:
            store, at = store + data[at + 1 : at + 1 + size], at + 1 + size
        return store
    at = data.index(MANIFEST_BOX)  # then version and flags, the purpose, and an offset
    assert data[at + 20 : at + 29] == b"manifest\0"
    (size,) = struct.unpack(">I", data[at - 8 : at - 4])
    return data[at + 37 : at - 8 + size]


def labels(boxes: bytes) -> Iterator[str]:
    """Labels of JUMBF's superboxes (ISO 19566-5), the outer before the inner."""
    position = 0
    while position + 8 <= len(boxes):
        size, kind = struct.unpack(">I4s", boxes[position : position + 8])
        if size == 0:
            return
        if kind == b"jumb":
            description = boxes[position + 8 :]
            (length,) = struct.unpack(">I", description[:4])
            yield description[25:length].partition(b"\0")[0].decode()
            yield from labels(boxes[position + 8 + length : position + size])
        position += size


def check(data: bytes, media_type: str, chain: Chain, kind: str) -> None:
    assert made_by(manifest(data, media_type, chain)) == ("c2pa.created", kind)
    boxes = jumbf(data, media_type)
    assert set(SUPERBOXES) <= set(labels(boxes))
    assert chain.leaf in boxes  # the certificate goes with the signature
    tampered = bytearray(data)
    tampered[len(data) * 2 // 3] ^= 1
    with c2pa.Reader(media_type, io.BytesIO(tampered)) as reader:
        assert reader.get_validation_state() == "Invalid"


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("paste_back", [True, False])
def test_an_image_is_signed(bench: Bench, chain: Chain, portrait: Path, image_format: str, paste_back: bool) -> None:
    options = ImageOptions.model_validate({"format": image_format, "paste_back": paste_back})
    record = bench.finished(
        bench.submit(
            lambda job: ImageSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motion=TURN, options=options
            )
        )
    )
    assert record.status is JobStatus.SUCCEEDED, record.error
    assert "sign" in record.timings
    path = bench.result(record)
    kind = "compositeWithTrainedAlgorithmicMedia" if paste_back else "trainedAlgorithmicMedia"
    check(path.read_bytes(), f"image/{image_format}", chain, kind)
    _, _, packets = cv2.imreadWithMetadata(str(path))
    assert source_type(np.asarray(packets[0]).tobytes()) == SOURCE
    if exiftool := shutil.which("exiftool"):
        command = [exiftool, "-JUMBF:all", "-j", "-G3", "-b", str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert kind in told.stdout


def test_each_image_of_an_archive_is_signed(bench: Bench, chain: Chain, portrait: Path) -> None:
    options = ImageOptions(paste_back=False)
    record = bench.finished(
        bench.submit(
            lambda job: ImageSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motions=[TURN, TURN], options=options
            )
        )
    )
    with zipfile.ZipFile(bench.result(record)) as archive:
        for name in archive.namelist():
            check(archive.read(name), "image/png", chain, "trainedAlgorithmicMedia")


def test_a_video_is_signed_and_still_starts_before_it_is_whole(bench: Bench, chain: Chain, portrait: Path) -> None:
    sway = KeyframesMotion(keyframes=[Keyframe(t=0, controls={}), Keyframe(t=0.4, controls={"yaw": 10})])
    record = bench.finished(
        bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motion=sway,
                options=VideoOptions(size=256),
            )
        )
    )  # fmt: skip
    assert record.status is JobStatus.SUCCEEDED, record.error
    path = bench.result(record)
    check(path.read_bytes(), "video/mp4", chain, "compositeWithTrainedAlgorithmicMedia")
    assert frames_in(path) == 11
    order = atoms(path)
    assert order.index("moov") < order.index("mdat")
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        assert source_type(container.metadata["xmp"].encode()) == SOURCE
    assert {name.partition("-")[0] for name in bench.files(record.id)} == {
        "portrait.jpg", "result.mp4", "init", "segment",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["gif", "webp"])
def test_a_video_of_pictures_is_signed(
    bench: Bench, chain: Chain, portrait: Path, name: Literal["gif", "webp"]
) -> None:
    record = swaying_as(bench, portrait, name)
    assert record.status is JobStatus.SUCCEEDED, record.error
    data = bench.result(record).read_bytes()
    check(data, f"image/{name}", chain, "compositeWithTrainedAlgorithmicMedia")
    assert source_type(data) == SOURCE
    with Image.open(bench.result(record)) as image:
        assert image.n_frames == 11  # type: ignore[attr-defined]


def test_what_cannot_be_signed_is_refused_at_once(bench: Bench, chain: Chain, portrait: Path) -> None:
    record = swaying_as(bench, portrait, "webm")
    assert record.status is JobStatus.FAILED
    assert record.error is not None
    assert record.error.type.endswith("invalid-options")
    assert record.error.detail == "results are signed here, which a webm cannot be; allowed is mp4, gif, webp"
    assert (record.error.got, record.error.allowed) == ("webm", ["mp4", "gif", "webp"])
    assert record.timings == {}
    assert bench.files(record.id) == {"portrait.jpg"}


def swaying_as(bench: Bench, portrait: Path, name: VideoFormat) -> JobRecord:
    sway = KeyframesMotion(keyframes=[Keyframe(t=0, controls={}), Keyframe(t=0.4, controls={"yaw": 10})])
    options = VideoOptions(size=256, format=name)
    return bench.finished(
        bench.submit(
            lambda job: VideoSpec(
                portrait=bench.put(job, "portrait.jpg", portrait, "image/jpeg"), motion=sway, options=options
            )
        )
    )

"""Clients generated from openapi.json alone, in Python and TypeScript, do both main jobs at the running service."""

import base64
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile
from PIL import Image

from tests.support import node
from tests.support.processes import PORTRAIT, ROOT, Service, until
from tests.support.tiny_weights import tiny_service

pytestmark = pytest.mark.slow

SPEECH = ROOT / "service" / "samples" / "speech.flac"
# What the generator does not know by itself: of what kind streams are
CONFIG = """\
post_hooks: []
literal_enums: true
content_type_overrides:
  application/vnd.apple.mpegurl: text/plain
  video/iso.segment: application/octet-stream
"""
GENERATE = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]

PROGRAMS = ("forms.ts", "json.ts")

Module = Callable[[str], Any]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with tiny_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def module(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Module]:
    """The generated package's modules by their names."""
    folder: Path = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(service.client.get("/openapi.json").content)
    (folder / "config.yml").write_text(CONFIG)
    command = [*GENERATE, "--path", "openapi.json", "--output-path", "generated_client", "--config", "config.yml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said.upper(), said  # it leaves out what it does not understand
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield lambda name: importlib.import_module(f"generated_client.{name}".rstrip("."))
        for name in [name for name in sys.modules if name.partition(".")[0] == "generated_client"]:
            del sys.modules[name]


@pytest.fixture
def client(service: Service, module: Module) -> Iterator[Any]:
    with module("client").Client(base_url=str(service.client.base_url), timeout=90) as client:
        yield client


def fetched(module: Module, client: Any, job: Any) -> tuple[Any, bytes]:
    """Ask for a job until it has ended, then for its result."""
    assert isinstance(job, module("models.job").Job), job

    def asked() -> Any:
        return module("api.jobs.read_job").sync(job.id, client=client)

    until(lambda: asked().status not in ("queued", "running"), lambda: str(asked()))
    job = asked()
    assert job.status == "succeeded", job.error
    return job, module("api.jobs.fetch_result").sync(job.id, client=client).payload.read()


def one_second() -> bytes:
    """Of speech, as WAV."""
    rate = soundfile.info(SPEECH).samplerate
    soundfile.write(second := BytesIO(), soundfile.read(SPEECH, frames=rate)[0], rate, format="WAV")
    return second.getvalue()


def check_image(data: bytes, result: dict[str, Any]) -> None:
    with Image.open(BytesIO(data)) as image:
        assert (image.format, image.size) == ("WEBP", (result["width"], result["height"]))


def check_talking_head(data: bytes, result: dict[str, Any]) -> None:
    with av.open(BytesIO(data)) as container:
        assert container.streams.video[0].frames == result["frames"]
        assert len(container.streams.audio) == 1


def test_it_makes_an_image_and_a_talking_head(module: Module, client: Any) -> None:
    models, file = module("models"), module("types").File
    portrait = PORTRAIT.read_bytes()
    motion = models.ControlsMotion.from_dict({"controls": {"yaw": 20, "smile": 0.4}})
    body = models.ImageForm(
        portrait=file(BytesIO(portrait)), motion=motion, options=models.ImageOptions(format_="webp")
    )
    made = module("api.create.create_image").sync(client=client, body=body, idempotency_key="one")
    job, data = fetched(module, client, made)
    check_image(data, job.result.to_dict())

    speech = file(BytesIO(one_second()), mime_type="audio/wav")
    options = models.VideoOptions(paste_back=False, seed=3)
    body = models.VideoForm(portrait=file(BytesIO(portrait)), audio=speech, options=options)
    job, data = fetched(module, client, module("api.create.create_video").sync(client=client, body=body))
    check_talking_head(data, job.result.to_dict())


def test_it_sends_json(module: Module, client: Any) -> None:
    models = module("models")
    portrait, speech = (
        f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        for media_type, data in (("image/jpeg", PORTRAIT.read_bytes()), ("audio/wav", one_second()))
    )
    motion = models.ControlsMotion.from_dict({"controls": {"yaw": 20, "smile": 0.4}})
    body = models.ImageRequest(portrait=portrait, motion=motion, options=models.ImageOptions(format_="webp"))
    job, data = fetched(module, client, module("api.create.create_image").sync(client=client, body=body))
    check_image(data, job.result.to_dict())
    kept = module("api.portraits.create_portrait").sync(client=client, body=models.PortraitRequest(portrait=portrait))
    body = models.VideoRequest(
        portrait=models.KeptPortrait(id=kept.id),
        audio=speech,
        options=models.VideoOptions(paste_back=False, seed=3),
        metadata=models.Metadata.from_dict({"order": "17"}),
    )
    job, data = fetched(module, client, module("api.create.create_video").sync(client=client, body=body))
    check_talking_head(data, job.result.to_dict())
    assert job.input_.options.seed == 3


def test_it_waits_and_reads_lists_and_problems(module: Module, client: Any) -> None:
    models, file = module("models"), module("types").File
    body = models.MotionForm(source=file(BytesIO(PORTRAIT.read_bytes())))
    job = module("api.create.create_motion").sync(client=client, body=body, prefer="wait=60")
    assert job.status == "succeeded"  # the answer that has waited is a job as well
    page = module("api.jobs.list_jobs").sync(client=client, limit=1)
    assert page.jobs[0].id == job.id
    bad = models.MotionForm(source=file(BytesIO(b"no picture")))
    problem = module("api.create.create_motion").sync(client=client, body=bad)
    assert isinstance(problem, models.Problem)
    assert problem.type_.endswith("/problems/unsupported-media")
    controls = module("api.discovery.list_controls").sync(client=client)
    assert "yaw" in {control.name for space in controls.spaces for control in space.controls}


@pytest.fixture(scope="module")
def types(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of TypeScript with what is generated, schema.d.ts, and both programs, whose types fit."""
    folder: Path = tmp_path_factory.mktemp("typescript")
    (folder / "node_modules").symlink_to(node.packages())
    (folder / "openapi.json").write_bytes(service.client.get("/openapi.json").content)
    for name in ("package.json", "tsconfig.json", "generate.ts", "service.ts", *PROGRAMS):
        shutil.copy(node.FOLDER / name, folder)
    node.run(["generate.ts", "openapi.json", "schema.d.ts"], cwd=folder)
    node.run([node.tool("tsc"), "--project", "."], cwd=folder)
    return folder


def test_types_of_bodies_are_plain(types: Path) -> None:
    found = re.findall(r".*\bunknown\b\)* [|&].*|.*[|&] \(*unknown\b.*", (types / "schema.d.ts").read_text())
    assert found == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_typescript_makes_an_image_and_a_talking_head(
    service: Service, types: Path, tmp_path: Path, program: str
) -> None:
    files = [tmp_path / name for name in ("speech.wav", "image.webp", "video.mp4")]
    files[0].write_bytes(one_second())
    said = node.run([program, str(service.client.base_url), str(PORTRAIT), *map(str, files)], cwd=types)
    image, video = (json.loads(line)["result"] for line in said.splitlines())
    check_image((tmp_path / "image.webp").read_bytes(), image)
    check_talking_head((tmp_path / "video.mp4").read_bytes(), video)

"""The demo, whole, with real models."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from service.catalogue import Catalogue
from service.commands.demo import until_stopped
from service.running.supervisor import Supervisor
from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_demo_poses_and_speaks(tmp_path: Path) -> None:
    if missing := Catalogue.read(None).missing(["morphable", "extractor", "skinning", "renderer", "audio"]):
        pytest.skip(f"no weights of {', '.join(missing)}")
    command = [sys.executable, "-m", "service.cli", "demo", "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    image, video = (summary["jobs"][name] for name in ("image", "video"))
    assert image["status"] == video["status"] == "succeeded"
    assert image["timings"]
    assert video["timings"]
    with Image.open(summary["paths"]["image"]) as posed, Image.open(ROOT / "service/samples/portrait.jpg") as before:
        assert posed.size == before.size
        assert np.abs(np.asarray(posed, float) - np.asarray(before.convert("RGB"), float)).max() > 32
    with av.open(summary["paths"]["video"]) as container:
        seconds = float(container.duration or 0) / av.time_base
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
    with av.open(str(ROOT / "service/samples/speech.flac")) as container:
        assert seconds == pytest.approx(float(container.duration or 0) / av.time_base, abs=0.08)
    assert Path(summary["paths"]["sheet"]).stat().st_size > 10_000


def test_what_the_demo_does_ends_with_it() -> None:
    supervisor = Supervisor()

    async def never() -> None:
        supervisor.request_stop()
        await asyncio.Event().wait()

    assert asyncio.run(asyncio.wait_for(until_stopped(never(), supervisor), 60)) is None


def test_a_failure_that_stopping_brings_about_is_none() -> None:
    supervisor = Supervisor()

    async def fails() -> None:
        supervisor.request_stop()
        raise ConnectionError

    assert asyncio.run(until_stopped(fails(), supervisor)) is None

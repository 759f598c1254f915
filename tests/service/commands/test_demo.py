"""The demo, whole, with real models."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from service.catalogue import Catalogue
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

"""What docs/live.md shows, and the Python client's sessions, with the running service."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from pirenderer_client import AsyncClient, Client, InvalidRequestError
from tests.support.documents import example
from tests.support.processes import PORTRAIT, ROOT
from tests.support.tiny_weights import tiny_service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tiny_service(tmp_path_factory.mktemp("service")) as service:
        service.wait_for_workers()
        yield str(service.client.base_url)


def test_a_portrait_moves_under_controls_one_session_after_another(url: str) -> None:
    with Client(url) as client:
        kept = client.keep_portrait(PORTRAIT)
        for _ in range(2):
            with client.live(kept, size=128) as live:
                live.controls(yaw=99)
                with pytest.raises(InvalidRequestError) as caught:
                    list(live)
                assert caught.value.name == "invalid-motion"
                number = live.controls(yaw=20, smile=0.6)
                picture = next(each for each in live if each.number == number)
            with Image.open(BytesIO(picture.jpeg)) as image:
                assert (image.format, image.size) == ("JPEG", (128, 128))
        with pytest.raises(InvalidRequestError) as caught, client.live(replace(kept, id="0" * 32)):
            pass
        assert caught.value.name == "no-such-portrait"


def test_who_awaits_gives_a_file(url: str) -> None:
    async def seen() -> int | None:
        async with AsyncClient(url) as client, client.live(PORTRAIT.read_bytes(), size=64) as live:
            number = await live.motion({"controls": {"yaw": -20}})
            async for picture in live:
                if picture.number == number:
                    return picture.number
        return None

    assert asyncio.run(seen()) == 1


def test_the_example_in_python_speaks(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = example("docs/live.md", "## In Python", "## In a browser")
    samples, rate = soundfile.read(ROOT / "service/samples/speech.flac", frames=24_000)
    soundfile.write(tmp_path / "speech.wav", samples, rate)
    (tmp_path / "me.jpg").write_bytes(PORTRAIT.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(shown.replace("http://127.0.0.1:8000", url), "docs/live.md", "exec"), {})
    times = sorted(float(path.stem) for path in (tmp_path / "pictures").iterdir())
    assert times[-1] >= 1.5
    assert len(times) > 5

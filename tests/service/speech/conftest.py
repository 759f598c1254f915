"""Speakers as the settings give them, used up within one event loop."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from service.speech.speaker import Speaker
from tests.support.speech_server import SpeechServer, speech_server

Make = Callable[..., Speaker]


@pytest.fixture
def server() -> Iterator[SpeechServer]:
    with speech_server() as running:
        yield running


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A speaker with settings of the test's choice; of what it keeps meanwhile nothing may be left."""
    yield lambda **settings: Speaker.of(Settings(data_dir=tmp_path, **settings))
    assert list(tmp_path.iterdir()) == []


def spoken(speaker: Speaker, text: str = "Good morning.", voice: str | None = None) -> bytes:
    """The whole speech."""

    async def speak() -> bytes:
        try:
            async with speaker.speak(text, voice) as chunks:
                return b"".join([chunk async for chunk in chunks])
        finally:
            await speaker.close()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(speak())

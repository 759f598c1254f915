"""A live portrait's pictures: in order, few under way, as images are, and nothing left behind."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.motions import ControlsMotion
from jobs.schemas import ImageOptions
from model.arrays import Floats
from model.errors import MotionSpaceError
from tests.support.processes import PATIENCE_S
from tests.worker.media.test_marking import SOURCE, source_type
from worker.live.pictures import DEPTH, LivePictures
from worker.make.faces import read_portrait
from worker.make.image import make_image
from worker.make.motions import still
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import PreparedPortrait, Workbench

TURNED = ControlsMotion(controls={"yaw": 12, "jaw_open": 0.8})


@pytest.fixture(scope="module")
def bench(tiny: dict[str, str]) -> Workbench:
    return Workbench(Models(directory=Path(tiny["PIRENDERER_WEIGHTS_DIR"]), engine="torch"), WorkerSettings())


@pytest.fixture(scope="module")
def subject(bench: Workbench, portrait: Path) -> PreparedPortrait:
    return read_portrait(bench, portrait, None)


@pytest.fixture(scope="module")
def motion(bench: Workbench, subject: PreparedPortrait) -> Floats:
    return still(TURNED, subject.face, bench.models.controls)


@pytest.fixture
def live(bench: Workbench, subject: PreparedPortrait) -> Callable[..., LivePictures[int]]:
    def begin(drawn: Callable[[int, bytes], None], *, size: int = 64, quality: int = 80) -> LivePictures[int]:
        return LivePictures(bench.models, subject, size=size, quality=quality, drawn=drawn)

    return begin


def test_pictures_come_in_order_and_each_with_its_note(live: Callable[..., LivePictures[int]], motion: Floats) -> None:
    drawn: list[tuple[int, bytes]] = []
    with live(lambda *picture: drawn.append(picture)) as pictures:
        for note in range(7):
            pictures.draw(motion * np.float32(note % 2), note)
    assert [note for note, _ in drawn] == list(range(7))
    shown = [jpeg for _, jpeg in drawn]
    assert shown[1] == shown[3] != shown[2] == shown[4]
    assert Image.open(io.BytesIO(shown[0])).size == (64, 64)


def test_a_picture_is_the_one_an_image_job_makes_and_marked_as_it_is(
    live: Callable[..., LivePictures[int]], bench: Workbench, portrait: Path, motion: Floats, tmp_path: Path
) -> None:
    drawn: list[bytes] = []
    with live(lambda _, jpeg: drawn.append(jpeg), size=192, quality=95) as pictures:
        pictures.draw(motion, 0)
    options = ImageOptions(format="png", paste_back=False, size=192)
    make_image(bench, portrait, tmp_path / "a.png", motion=TURNED, options=options)
    image = np.asarray(Image.open(tmp_path / "a.png"), np.float64)
    with Image.open(io.BytesIO(drawn[0])) as picture:
        assert picture.format == "JPEG"
        off = np.asarray(picture, np.float64) - image
        assert source_type(picture.info["xmp"]) == SOURCE
    again = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(again, "JPEG", quality=95, subsampling=0)
    lost = np.asarray(Image.open(again), np.float64) - image
    assert np.abs(off).mean() == pytest.approx(np.abs(lost).mean(), rel=0.02)


def test_few_pictures_are_under_way_and_the_next_waits_for_room(
    live: Callable[..., LivePictures[int]], motion: Floats
) -> None:
    taken, drawn = threading.Event(), list[int]()

    def take(note: int, _: bytes) -> None:
        assert taken.wait(PATIENCE_S)
        drawn.append(note)

    with live(take) as pictures:
        for note in range(DEPTH):
            assert pictures.has_room(0)
            pictures.draw(motion, note)
        assert not pictures.has_room(0.1)
        waiting = threading.Thread(target=pictures.draw, args=(motion, DEPTH))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert drawn == []
        taken.set()
        waiting.join(PATIENCE_S)
        assert not waiting.is_alive()
    assert drawn == list(range(DEPTH + 1))


def test_what_a_stage_raises_comes_with_a_later_picture_or_at_the_end(
    live: Callable[..., LivePictures[int]], motion: Floats
) -> None:
    def draw_more(pictures: LivePictures[int]) -> None:
        for note in range(1, 1 + DEPTH):
            pictures.draw(motion, note)

    with live(lambda *_: None) as pictures:
        pictures.draw(motion * np.float32("nan"), 0)
        with pytest.raises(MotionSpaceError, match="NaN or infinity"):
            draw_more(pictures)

    def refuse(note: int, _: bytes) -> None:
        raise ValueError(f"nobody takes picture {note}")

    last = live(refuse)
    last.draw(motion, 3)
    with pytest.raises(ValueError, match="nobody takes picture 3"):
        last.close()


def test_who_leaves_while_pictures_are_under_way_leaves_no_thread(
    live: Callable[..., LivePictures[int]], motion: Floats
) -> None:
    drawn: list[int] = []
    before = set(threading.enumerate())

    def leave() -> None:
        with live(lambda note, _: drawn.append(note)) as pictures:
            for note in range(DEPTH):
                pictures.draw(motion, note)
            assert {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before} == {
                "live-guides", "live-network", "live-pasting",
            }  # fmt: skip
            raise KeyError("the session is over")

    with pytest.raises(KeyError, match="the session is over"):
        leave()
    assert set(threading.enumerate()) == before
    assert drawn == list(range(DEPTH)), "what was under way"

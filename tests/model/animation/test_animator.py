import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.animation.animator import Animator, ahead, batches
from model.engines import EngineSettings, build_engine
from model.evaluation.engines.subjects import made
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig
from tests.support.processes import until


@pytest.mark.parametrize("many", [1, 2])
def test_the_next_items_are_made_while_one_is_used_and_none_beyond(many):
    begun, made = [], []

    def make(number):
        made.append((number, threading.get_ident()))
        return number

    def calls():
        for number in range(6):
            begun.append(number)
            yield partial(make, number)

    used = []
    with ThreadPoolExecutor(3) as pool:
        for number in ahead(pool, calls(), many=many):
            assert len(begun) == min(number + 1 + many, 6)
            until(lambda: len(made) == len(begun), "the next are not made")
            used.append(number)
    assert used == [0, 1, 2, 3, 4, 5]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_while_making_reaches_the_user():
    def fail() -> int:
        raise ValueError("no second item")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no second item"):
        list(ahead(pool, (call for call in (int, fail))))


def test_what_is_under_way_ends_before_its_user_does():
    begun, ended = list[None](), list[None]()

    def slow():
        begun.append(None)
        time.sleep(0.05)
        ended.append(None)

    with ThreadPoolExecutor(1) as pool:
        stopped = ahead(pool, iter([slow] * 9))
        assert isinstance(stopped, Generator)
        next(stopped)
        stopped.close()
        assert len(begun) == len(ended) == 2


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [(1, 8, [1]), (12, 8, [2, 4, 6]), (24, 8, [2, 4, 8, 8, 2]), (7, 3, [2, 3, 2]), (3, 1, [1, 1, 1])],
)
def test_batches_are_small_at_first(count, most, sizes):
    parts = list(batches(count, most))
    assert [part.stop - part.start for part in parts] == sizes
    assert [number for part in parts for number in range(count)[part]] == list(range(count))


@pytest.fixture(scope="module")
def animator():
    config = RendererConfig(
        motion_dimension=6,
        descriptor_size=8,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=2, max_channels=4),
        editing=EditingConfig(base_channels=2, max_channels=4, layers=1, residual_blocks=1),
    )
    engine = build_engine(made(config), EngineSettings(device="cpu", engine="torch", precision="float32"))
    return Animator(engine, motion_space="made up")


@pytest.fixture(scope="module")
def portrait(animator):
    random = np.random.default_rng(0)
    return animator.prepare(SimpleNamespace(image=random.integers(0, 256, (256, 256, 3), np.uint8)))


@pytest.mark.slow
@pytest.mark.parametrize("own", [range(12), range(30, 42), range(58, 70)])
def test_a_stretch_is_drawn_by_what_surrounds_it_and_by_nothing_beyond(animator, portrait, own):
    motions = np.random.default_rng(1).standard_normal((70, 6)).astype(np.float32)
    around = range(max(0, own.start - animator.window_radius), min(70, own.stop + animator.window_radius))
    whole = animator.engine.describe(torch.from_numpy(motions))
    alone = animator.engine.describe(torch.from_numpy(motions[around]))
    inner = slice(own.start - around.start, own.stop - around.start)
    torch.testing.assert_close(alone[inner], whole[own.start : own.stop], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(alone[inner], animator.engine.describe(torch.from_numpy(motions[own])), atol=1e-3)

    def pictures(motions, frames):
        drawn = animator.animate(portrait, motions, batch_size=4, frames=frames)
        return np.concatenate([batch.images for batch in drawn])

    expected = pictures(motions, None)[own]
    got = pictures(motions[around], range(inner.start, inner.stop))
    np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=1)

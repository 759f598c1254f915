import threading
import time
from collections.abc import Generator
from types import SimpleNamespace

import numpy as np
import pytest

from model.animation import animator as animate
from model.animation.animator import Animator, ahead
from model.engines import EngineSettings, build_engine
from model.evaluation.engines.subjects import made
from model.renderer.config import EditingConfig, RendererConfig, WarpingConfig


def test_the_next_item_is_made_while_one_is_used_and_none_beyond():
    made = []

    def items():
        for number in range(5):
            made.append((number, threading.get_ident()))
            yield number

    used = []
    for number in ahead(items()):
        time.sleep(0.02)
        assert len(made) == min(number + 2, 5)
        used.append(number)
    assert used == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_while_making_reaches_the_user():
    def items():
        yield 0
        raise ValueError("no second item")

    with pytest.raises(ValueError, match="no second item"):
        list(ahead(items()))
    stopped = ahead(iter(range(3)))
    assert isinstance(stopped, Generator)
    assert next(stopped) == 0
    stopped.close()
    assert not any(thread.name.startswith("ahead") for thread in threading.enumerate())


@pytest.mark.slow
@pytest.mark.parametrize("frames", [None, [0, 30, 31, 32, 33, 64, 69]])
def test_motions_in_stretches_are_motions_in_one(frames, monkeypatch):
    config = RendererConfig(
        motion_dimension=6,
        descriptor_size=8,
        adain_hidden=8,
        warping=WarpingConfig(base_channels=2, max_channels=4),
        editing=EditingConfig(base_channels=2, max_channels=4, layers=1, residual_blocks=1),
    )
    engine = build_engine(made(config), EngineSettings(device="cpu", engine="torch", precision="float32"))
    animator = Animator(engine, motion_space="made up")
    random = np.random.default_rng(0)
    portrait = SimpleNamespace(image=random.integers(0, 256, (256, 256, 3), np.uint8))
    motions = random.standard_normal((70, 6)).astype(np.float32)
    described = []
    monkeypatch.setattr(
        engine, "describe", lambda motions: described.append(len(motions)) or type(engine).describe(engine, motions)
    )

    def pictures(stretch):
        monkeypatch.setattr(animate, "STRETCH", stretch)
        batches = list(animator.animate(animator.prepare(portrait), motions, batch_size=4, frames=frames))
        assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
        return np.stack([frame.image for batch in batches for frame in batch])

    whole, stretched = pictures(1000), pictures(33)
    assert described == [70, 32 + 13, 13 + 32 + 6, 13 + 6]
    assert len(whole) == (70 if frames is None else len(frames))
    np.testing.assert_allclose(stretched.astype(int), whole.astype(int), atol=1)

"""Batches drawn ahead are those that would be drawn at once, whatever was drawn before."""

import signal
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
import torch

from model.data.batch import Batch
from model.data.loader import Loader
from model.data.sources import open_pairs


def assert_same(ours: Batch, theirs: Batch) -> None:
    for field in fields(Batch):
        torch.testing.assert_close(getattr(ours, field.name), getattr(theirs, field.name), atol=1e-5, rtol=0)
    assert torch.equal(ours.source, theirs.source)
    assert torch.equal(ours.motion, theirs.motion)


@pytest.fixture(scope="module")
def loaders(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    cache = tmp_path_factory.mktemp("cache")
    opener = partial(open_pairs, tiny_corpus, cache, split="train", frames_per_clip=10, warp_back=0.3)
    opener()  # what the processes read is decoded
    made = [Loader(opener, seed=3, processes=processes, device=torch.device("cpu")) for processes in (0, 2)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes: how many share a sum shows in its last bits
    yield made
    torch.set_num_threads(threads)
    for loader in made:
        loader.close()


@pytest.mark.slow
def test_the_order_does_not_know_how_many_processes_draw(loaders: list[Loader]) -> None:
    here, ahead = loaders
    told = signal.getsignal(signal.SIGCHLD)
    for step in range(4, 7):
        ours, theirs = (loader.batches(step, count=2, pairs=(0, 1), size=64) for loader in (here, ahead))
        assert len(ours) == len(theirs) == 2
        for a, b in zip(ours, theirs, strict=True):
            assert a.source.shape == (4, 3, 64, 64)
            assert_same(a, b)
    assert not torch.equal(ours[0].source, ours[1].source)
    assert signal.getsignal(signal.SIGCHLD) is told


@pytest.mark.slow
def test_what_was_drawn_ahead_in_vain_does_not_count(loaders: list[Loader]) -> None:
    here, ahead = loaders
    for step, count, pairs, size in [(1, 1, (0,), 64), (2, 1, (0,), 64), (3, 1, (2,), 128), (7, 2, (2,), 128)]:
        expected = here.batches(step, count=count, pairs=pairs, size=size)
        got = ahead.batches(step, count=count, pairs=pairs, size=size)
        for a, b in zip(got, expected, strict=True):
            assert_same(a, b)


@pytest.mark.slow
def test_each_pair_is_its_own_whoever_draws_it(loaders: list[Loader]) -> None:
    here, _ = loaders
    (both,) = here.batches(5, count=1, pairs=(0, 1), size=64)
    (second,) = here.batches(5, count=1, pairs=(1,), size=64)
    assert torch.equal(both.source[2:], second.source)


def test_drawing_leaves_the_generator_that_checkpoints_hold_alone(loaders: list[Loader]) -> None:
    loaders[0].batches(0, count=1, pairs=(0,), size=64)  # the first opens what is drawn from
    state = torch.get_rng_state()
    loaders[0].batches(1, count=1, pairs=(0,), size=64)
    assert torch.equal(state, torch.get_rng_state())


def test_a_closed_loader_draws_no_more(tiny_corpus: Path) -> None:
    loader = Loader(partial(open_pairs, tiny_corpus), seed=0, processes=None, device=torch.device("cpu"))
    loader.close()
    with pytest.raises(RuntimeError, match="closed"):
        loader.batches(0, count=1, pairs=(0,), size=64)

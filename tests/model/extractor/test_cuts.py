import numpy as np
import pytest

from model.data.camera import texture
from model.extractor.cuts import uncut


def batches(frames, longest=4):
    return [(cut, [int(picture.rgb[0, 0, 0]) for picture in pictures]) for cut, pictures in uncut(frames, longest)]


def plain(level, size=(48, 64)):
    return np.full((*size, 3), level, np.uint8)


def test_a_scene_comes_in_batches():
    levels = [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert batches(map(plain, levels)) == [(False, levels[:4]), (False, levels[4:8]), (False, levels[8:])]


@pytest.mark.parametrize("at", [1, 3, 4, 5, 8])
def test_a_cut_ends_a_batch_and_is_told_once(at):
    found = batches([plain(10)] * at + [plain(120)] * 6)
    assert [level for _, levels in found for level in levels] == [10] * at + [120] * 6
    assert [levels[0] for cut, levels in found if cut] == [120]
    assert all(len(set(levels)) == 1 for _, levels in found)


def test_frames_of_another_size_are_another_scene():
    assert batches([plain(10)] * 2 + [plain(10, (64, 48))] * 2) == [(False, [10, 10]), (True, [10, 10])]


def test_no_frames():
    assert batches([]) == []


def test_panning_and_noise_are_no_cuts(portrait):
    rng = np.random.default_rng(0)
    panned = [portrait[:, shift : shift + 400] for shift in range(0, 80, 8)]
    noisy = [np.clip(frame + rng.normal(0, 12, frame.shape), 0, 255).astype(np.uint8) for frame in panned]
    assert not any(cut for cut, _ in uncut(noisy, 8))
    other = texture(400, rng)[: portrait.shape[0], :400]
    assert [cut for cut, _ in uncut([noisy[0], np.resize(other, noisy[0].shape)], 8)] == [False, True]

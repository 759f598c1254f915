import pytest
import torch

from model.audio.features import MELS, SUBFRAMES
from model.audio.regressor import DilatedBlocks, Regressor


@pytest.mark.parametrize("look_ahead", [0, 1, 5, 100])
def test_a_prediction_hears_no_more_than_it_may(look_ahead: int) -> None:
    torch.manual_seed(0)
    regressor = Regressor(6, 16, 5, 0.0, look_ahead).eval()
    mel = torch.rand(1, SUBFRAMES * 120, MELS)
    changed = mel.clone()
    changed[:, SUBFRAMES * 60 :] = torch.rand(1, SUBFRAMES * 60, MELS)  # from frame 60 on
    difference = (regressor(mel) - regressor(changed)).abs().amax(dim=2)[0]
    # the first layer sees one sub-frame of 10 ms further
    reach = min(look_ahead, sum(regressor.blocks.ahead)) + 1
    assert difference[: 60 - reach].max() == 0
    assert difference[60 - reach] > 0


@pytest.mark.parametrize("look_ahead", [0, 3, 100])
def test_blocks_see_as_far_back_as_they_say(look_ahead: int) -> None:
    torch.manual_seed(0)
    blocks = DilatedBlocks(8, 4, 0.0, look_ahead).eval()
    x = torch.rand(1, 8, 100)
    changed = x.clone()
    changed[:, :, 20] = torch.rand(8)
    touched = torch.nonzero((blocks(x) - blocks(changed)).abs().amax(dim=1)[0]).flatten()
    assert touched.max() == 20 + blocks.reach
    assert touched.min() == 20 - sum(blocks.ahead)

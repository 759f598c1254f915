"""A prior doubts what it stretches, tears, mirrors, makes up or leaves bare, and nothing else."""

import pytest
import torch

from model.renderer.guide import CHANNELS, DOUBTS, Guide
from model.renderer.prior.doubt import doubts, spread_of_reading

SIDE = 64


def maps(flow: torch.Tensor, **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each map (SIDE, SIDE) of one flow (2, SIDE, SIDE)."""
    nothing = {
        "completed": torch.zeros(1, 1, SIDE, SIDE),
        "opened": torch.zeros(1, 1, SIDE, SIDE),
        "missed": torch.zeros(1, 16, 16),
    }
    made = doubts(flow[None], **(nothing | changes))
    assert made.shape == (1, len(DOUBTS), SIDE, SIDE)
    assert made.min() >= 0
    assert made.max() <= 1
    return dict(zip(DOUBTS, made[0], strict=True))


def still() -> torch.Tensor:
    return torch.zeros(2, SIDE, SIDE)


def test_nothing_is_doubted_where_nothing_moves() -> None:
    assert all(values.max() == 0 for values in maps(still()).values())


def test_a_shift_is_sure_up_to_what_lies_outside() -> None:
    flow = still()
    flow[0] = 8  # the rightmost eighth is read outside of the portrait
    made = maps(flow)
    assert made["absent"][:, : SIDE - 16].max() == 0
    assert made["absent"][32, -1] == 1
    assert max(made[name].max() for name in ("stretched", "mirrored", "uncovered", "seam")) == 0


def test_what_is_spread_over_many_pixels_is_stretched() -> None:
    flow = still()
    columns = torch.arange(SIDE).float()
    flow[0] = -0.75 * (columns - 32)  # four pixels for one
    made = maps(flow)
    assert made["stretched"][32, 32] == pytest.approx(1 - 0.25 / 0.7, abs=0.01)
    assert made["seam"].max() == 0


def test_a_tear_is_a_seam() -> None:
    flow = still()
    flow[0, :, 32:] = 12
    made = maps(flow)
    assert made["seam"][32, 32] > 0.8
    assert made["seam"][32, 16] == 0


def test_what_is_turned_over_is_doubted() -> None:
    flow = still()
    flow[0] = -2 * (torch.arange(SIDE).float() - 32)  # a mirror image
    least, most = spread_of_reading(flow[None])
    assert least[0, 16, 16] == 0
    assert most[0, 16, 16] == pytest.approx(1)


def test_what_newly_parted_lips_show_is_absent() -> None:
    opened = torch.zeros(1, 1, SIDE, SIDE)
    opened[..., 28:36, 24:40] = 1
    made = maps(still(), opened=opened)
    assert (made["absent"][32, 32], made["absent"][8, 8]) == (1, 0)
    assert max(made[name].max() for name in ("stretched", "mirrored", "uncovered", "seam")) == 0


def test_mirrored_and_bare_places_are_told() -> None:
    completed, missed = torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 16, 16)
    completed[..., 32:], missed[:, 8:] = 1.0, 20.0
    made = maps(still(), completed=completed, missed=missed)
    assert (made["mirrored"][8, 8], made["mirrored"][8, 56]) == (0, 1)
    assert (made["uncovered"][8, 8], made["uncovered"][56, 8]) == (0, 1)


def test_parts_of_a_guide_are_found_again() -> None:
    torch.manual_seed(0)
    parts = {
        "flow": torch.randn(2, 2, 8, 8),
        "completion": torch.randn(2, 3, 8, 8),
        "completed": torch.rand(2, 1, 8, 8),
        "doubt": torch.rand(2, len(DOUBTS), 8, 8),
    }
    guide = Guide.made(**parts)
    assert guide.prior.shape == (2, CHANNELS, 8, 8)
    for name, part in parts.items():
        assert torch.equal(getattr(guide, name), part)
    torch.testing.assert_close(guide.doubtful[:, 0], 1 - (1 - parts["doubt"]).prod(1))
    assert torch.equal(Guide.plain(guide.flow).complete(guide.completion), guide.completion)

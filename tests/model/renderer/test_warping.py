import pytest
import torch

from model.renderer import warp
from model.renderer.warping import Grid


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def constant_flow(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y])[None, :, None, None].expand(1, 2, 8, 8).contiguous()


def test_zero_flow_is_the_identity_on_the_aligned_grid(picture):
    torch.testing.assert_close(warp(picture, constant_flow(0, 0), grid="aligned"), picture, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("x", "y"), [(1.0, 0.0), (0.0, -1.0), (0.5, 1.5)])
def test_a_flow_of_one_fetches_from_four_image_pixels_away(picture, x, y):
    warped = warp(picture, constant_flow(x, y), grid="aligned")
    shifted = picture.roll((int(-4 * y), int(-4 * x)), dims=(2, 3))
    torch.testing.assert_close(warped[..., 8:-8, 8:-8], shifted[..., 8:-8, 8:-8], atol=1e-5, rtol=0)


def test_outside_the_picture_its_rim_is_repeated_or_it_is_grey(picture):
    grids: dict[Grid, torch.Tensor] = {"aligned": picture[..., -1:], "published": torch.zeros(1, 3, 32, 1)}
    for grid, outside in grids.items():
        warped = warp(picture, constant_flow(8, 0), grid=grid)
        torch.testing.assert_close(warped[:, :, 4:-4, -8:], outside[:, :, 4:-4].expand(-1, -1, -1, 8), atol=0.5, rtol=0)
        assert (warped[..., -1] == 0).all() == (grid == "published")


def test_the_published_grid_shrinks_about_the_centre():
    """With no flow it reads the source at 256u/63 - 0.5, u being the flow-map coordinate: a zoom out by 64/63."""
    ramp = torch.arange(256.0).expand(1, 1, 256, 256).contiguous()
    warped = warp(ramp, torch.zeros(1, 2, 64, 64), grid="published")
    u = (torch.arange(256) + 0.5) / 4 - 0.5
    inside = slice(4, -4)
    torch.testing.assert_close(warped[0, 0, 128, inside], (256 * u / 63 - 0.5)[inside], atol=1e-3, rtol=0)


def test_one_source_serves_a_batch_of_flows(picture):
    flows = torch.cat((constant_flow(0, 0), constant_flow(1, 0)))
    both = warp(picture, flows, grid="aligned")
    for index in range(2):
        assert torch.equal(both[index : index + 1], warp(picture, flows[index : index + 1], grid="aligned"))


def test_low_precision_pictures_keep_their_dtype_and_exact_coordinates(picture):
    warped = warp(picture.bfloat16(), constant_flow(0.25, 0).bfloat16(), grid="aligned")
    assert warped.dtype == torch.bfloat16
    assert torch.equal(warped[..., :-1], picture.bfloat16()[..., 1:])

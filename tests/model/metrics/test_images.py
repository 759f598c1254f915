import math

import pytest
import torch

from model.metrics.images import MOUTH_CROP, crops, flicker, l1, psnr, sharpness, ssim


def flat(value: float, size: int = 16) -> torch.Tensor:
    return torch.full((1, 3, size, size), value)


def test_known_l1_and_psnr():
    image = torch.cat((flat(0.0), flat(1.0)))
    target = torch.cat((flat(0.2), flat(-1.0)))
    torch.testing.assert_close(l1(image, target), torch.tensor([0.1, 1.0], dtype=torch.float64), atol=1e-7, rtol=0)
    torch.testing.assert_close(psnr(image, target), torch.tensor([20.0, 0.0], dtype=torch.float64), atol=1e-5, rtol=0)


def test_bytes_and_floats_mean_the_same():
    levels = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    other = levels.roll(1, dims=3)
    for metric in (l1, psnr, ssim):
        as_bytes, as_floats = metric(levels, other), metric(levels / 127.5 - 1, other / 127.5 - 1)
        torch.testing.assert_close(as_bytes, as_floats, atol=1e-5, rtol=1e-5)


def test_equal_pictures():
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    assert (l1(image, image) == 0).all()
    assert (psnr(image, image) == math.inf).all()
    torch.testing.assert_close(ssim(image, image), torch.ones(2, dtype=torch.float64))


def test_ssim_of_flat_pictures_is_its_luminance_term():
    # 0.5 and 0.75 of the range: (2 ab + c1) / (a^2 + b^2 + c1), the structure term being 1
    expected = (2 * 0.5 * 0.75 + 1e-4) / (0.5**2 + 0.75**2 + 1e-4)
    assert ssim(flat(0.0), flat(0.5)).item() == pytest.approx(expected, abs=1e-6)


def test_ssim_of_an_inverted_picture_is_negative():
    stripes = torch.sin(torch.arange(32) * 1.3).expand(1, 3, 32, 32) * 0.9
    assert ssim(stripes, -stripes).item() < -0.5
    # the same picture at half contrast keeps its structure: 2 * 0.5 / (1 + 0.25) without the constants
    assert ssim(stripes, stripes * 0.5).item() == pytest.approx(0.8, abs=0.02)


def test_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"\(1, 3, 16, 16\) and \(1, 3, 32, 32\)"):
        psnr(flat(0.0), flat(0.0, size=32))
    with pytest.raises(ValueError, match=r"torch\.uint8"):
        l1(flat(0.0), flat(0.0).byte())
    with pytest.raises(ValueError, match="10x10; SSIM needs both sides at least 11"):
        ssim(flat(0.0, size=10), flat(0.0, size=10))


def test_blurring_takes_sharpness():
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    assert (sharpness(blurred, noise) < 0.2).all()
    torch.testing.assert_close(sharpness(noise, noise), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(sharpness(0.5 * noise, noise), torch.full((2,), 0.25, dtype=torch.float64))


def test_trembling_is_flicker_and_steady_motion_is_not():
    ramp = torch.linspace(-1, 1, 32).expand(3, 32, 32)
    steady = torch.stack([0.5 * ramp + 0.02 * t for t in range(6)])
    trembling = torch.stack([0.5 * ramp + 0.02 * t + 0.01 * (-1) ** t for t in range(6)])
    twice = torch.stack([0.5 * ramp + 0.02 * t + 0.02 * (-1) ** t for t in range(6)])
    assert flicker(steady, trembling) < 1e-3
    assert flicker(twice, trembling) == pytest.approx(2, rel=1e-3)
    with pytest.raises(ValueError, match="a video of 2 frames; flicker needs 3 or more"):
        flicker(steady[:2], trembling[:2])


def test_crops_lie_around_their_centres_and_inside_the_picture() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    images = torch.stack([x, y, x]).expand(2, 3, 128, 128)
    cut = crops(images, torch.tensor([[100.0, 140.0], [0.0, 256.0]]))
    side = MOUTH_CROP // 2  # pictures of half the crop's size
    assert cut.shape == (2, 3, side, side)
    assert cut[0, 0].mean() == pytest.approx(49.5)  # 100 / 2, counted from pixel middles
    assert cut[0, 1].mean() == pytest.approx(69.5)
    assert (cut[1, 0].min(), cut[1, 1].max()) == (0, 127)


def test_psnr_where_it_is_asked_for() -> None:
    target = torch.zeros(1, 3, 8, 8)
    image = target.clone()
    image[..., 4:] = 0.2  # a tenth of the range
    weight = torch.zeros(1, 1, 8, 8)
    weight[..., 4:] = 0.7
    assert psnr(image, target, weight).item() == pytest.approx(20.0)
    assert psnr(image, target, torch.ones(1, 1, 8, 8)).item() == pytest.approx(psnr(image, target).item())

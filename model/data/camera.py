"""What cameras, files and things in the way do to a training window: colour, blur, noise, compression, occlusion."""

import cv2
import numpy as np

from model.arrays import Array, Pixels

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)


def distort(image: Pixels, rng: np.random.Generator) -> Array:
    """A window (S, S, 3) uint8 as a worse camera would have it; the order is that of light, lens, sensor and file."""
    if rng.random() < 0.8:
        image = _recolour(image, rng)
    if rng.random() < 0.3:
        image = _lower_resolution(image, rng)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0))
    elif rng.random() < 0.1:
        image = _move_camera(image, rng)
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1.0, 14.0)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(12, 85))
        image = compress(image, quality)
    return image


def occlude(image: Pixels, cover: Array, rng: np.random.Generator) -> Array:
    """Cover up to about a fifth of a window with a shape cut out of the picture `cover` (same size)."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    centre = rng.uniform(0, size, 2)
    if rng.random() < 0.5:
        axes = rng.uniform(0.05, 0.3, 2) * size
        cv2.ellipse(mask, (tuple(centre), tuple(2 * axes), float(rng.uniform(0, 180))), 255, -1)
    else:
        corners = centre + rng.uniform(-0.3, 0.3, (int(rng.integers(3, 7)), 2)) * size
        cv2.fillPoly(mask, [corners.round().astype(np.int32)], 255)
    if rng.random() < 0.5:
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 4))
    share = mask[..., None].astype(np.float32) / 255 * rng.choice([1.0, rng.uniform(0.4, 1.0)])
    covered: Array = (image * (1 - share) + cover * share).astype(np.uint8)
    return covered


def texture(size: int, rng: np.random.Generator) -> Array:
    """A picture (size, size, 3) uint8 of nothing: plain colour, clouds, stripes, checks, shapes or writing."""
    kind = rng.choice(["plain", "clouds", "stripes", "shapes", "writing"], p=[0.25, 0.35, 0.1, 0.15, 0.15])
    base = rng.integers(0, 256, 3)
    image = np.full((size, size, 3), base, np.uint8)
    if kind == "clouds":
        cells = int(rng.integers(2, 40))
        coarse = np.clip(
            base + rng.normal(0, rng.uniform(5, 80), (cells, cells, 3 if rng.random() < 0.5 else 1)), 0, 255
        )
        coarse = np.broadcast_to(coarse, (cells, cells, 3)).astype(np.uint8)
        interpolation = cv2.INTER_NEAREST if rng.random() < 0.2 else cv2.INTER_CUBIC
        image = cv2.resize(coarse, (size, size), interpolation=interpolation)
    elif kind == "stripes":
        u, v = np.meshgrid(np.arange(size), np.arange(size))
        angle, period = rng.uniform(0, np.pi), rng.uniform(3, size / 2)
        wave = np.sin((u * np.cos(angle) + v * np.sin(angle)) * (2 * np.pi / period))
        image = np.clip(base + rng.uniform(-120, 120, 3) * wave[..., None], 0, 255).astype(np.uint8)
    elif kind in ("shapes", "writing"):
        for _ in range(int(rng.integers(3, 25))):
            colour = rng.integers(0, 256, 3).tolist()
            first, second = rng.integers(-10, size, 2).tolist(), rng.integers(0, size, 2).tolist()
            if kind == "writing":
                text = "".join(chr(c) for c in rng.integers(33, 122, int(rng.integers(3, 12))))
                cv2.putText(
                    image, text, first, int(rng.choice(FONTS)), rng.uniform(0.3, 2.0), colour, int(rng.integers(1, 3))
                )
            elif rng.random() < 0.5:
                cv2.circle(image, first, int(rng.integers(3, size // 3)), colour, int(rng.choice([-1, 2])))
            else:
                cv2.rectangle(image, first, second, colour, int(rng.choice([-1, 2])))
    return image


def light_from_side(image: Pixels, strength: float, angle: float) -> Array:
    """Brighter towards `angle` (radians) by exp(strength) at the middle of that side, and darker on the other."""
    height, width = image.shape[:2]
    u, v = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    light = np.exp(strength * (u * np.cos(angle) + v * np.sin(angle)))
    lit: Array = np.clip(image * light[..., None], 0, 255).astype(np.uint8)
    return lit


def compress(image: Pixels, quality: int) -> Array:
    """The picture as a JPEG file of that quality (1..100) has it."""
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded: Array = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)
    return decoded


def _recolour(image: Pixels, rng: np.random.Generator) -> Array:
    ramp = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(0, 0.3))
    gain = np.exp(rng.normal(0, 0.18) + rng.normal(0, 0.08, 3))
    curves = np.clip(ramp**gamma * gain * 255 + rng.normal(0, 12), 0, 255).astype(np.uint8)
    image = cv2.LUT(image, curves[:, None].astype(np.uint8).reshape(1, 256, 3))
    if rng.random() < 0.4:  # towards grey or away from it
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
        keep = 0.0 if rng.random() < 0.35 else rng.uniform(0.3, 1.5)
        image = np.clip(grey + keep * (image - grey), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        angle = rng.uniform(0, 2 * np.pi)
        image = light_from_side(image, rng.uniform(0.2, 0.9), angle)
    return image


def _lower_resolution(image: Pixels, rng: np.random.Generator) -> Array:
    size = image.shape[0]
    small = int(rng.uniform(0.25, 0.9) * size)
    shrunk = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
    way_back = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    enlarged: Array = cv2.resize(shrunk, (size, size), interpolation=way_back)
    return enlarged


def _move_camera(image: Pixels, rng: np.random.Generator) -> Array:
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    middle, half = (length - 1) / 2, (length - 1) / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * half
    first, last = np.round(middle - step).astype(int).tolist(), np.round(middle + step).astype(int).tolist()
    cv2.line(kernel, first, last, 1.0)
    moved: Array = cv2.filter2D(image, -1, kernel / kernel.sum())
    return moved

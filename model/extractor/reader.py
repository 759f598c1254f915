"""Looks of the network at windows of pictures, and the refinement of a rough window by looking again."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import structlog
import torch

from model.arrays import Array, Landmarks
from model.errors import EngineError, WeightsError
from model.extractor.network import FaceNetwork, NetworkConfig
from model.extractor.window import Pyramid, Window
from model.weights.files import load_into, load_weights

log = structlog.get_logger(__name__)

ReaderEngine = Literal["auto", "torch", "openvino"]

WEIGHTS = "extractor"
LARGEST_BATCH = 64
# Slightly different windows (x, y, log_scale, angle in their own units) whose landmarks are averaged.
STEADYING_POSES = ((0.0, 0.0, 0.0, 0.0), (0.04, 0.03, 0.06, 0.05), (-0.04, 0.03, -0.06, -0.05), (0.0, -0.05, 0.03, 0.0))


@dataclass(frozen=True, eq=False)
class Sighting:
    """What one look gave: landmarks (478, 3) in source pixels, the face's own window, and how sure it is."""

    landmarks: Landmarks
    window: Window  # upright and centred on the face; where to look next
    presence: float  # 0..1: a whole face is there
    error_px: float  # the landmarks' expected mean error in crop units

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the landmarks in source pixels."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


class FaceReader:
    """The network with pictures and windows around it."""

    def __init__(self, network: FaceNetwork) -> None:
        self.network = network.eval()
        # the reference is its own mirror image, so that each point's counterpart is where its reflection falls
        reference = network.reference
        self.permutation = (
            torch.cdist(reference * reference.new_tensor([-1.0, 1.0, 1.0]), reference).argmin(dim=1).numpy()
        )

    @classmethod
    def load(
        cls, directory: Path | None = None, *, engine: ReaderEngine = "auto", cache_directory: Path | None = None
    ) -> Self:
        """Load the released network, or the one in `directory`.

        engine: "auto" is OpenVINO where it is installed and torch where not; both give the same landmarks up to
        rounding. cache_directory: where OpenVINO keeps what it compiled.

        Raises WeightsError: the files are missing, damaged or do not fit.
        Raises EngineError: OpenVINO was asked for by name and is not available.
        """
        state, card = load_weights(WEIGHTS, directory)
        try:
            config = NetworkConfig.model_validate(card["config"]["network"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"card {WEIGHTS}.json has no usable config.network: {error}") from error
        network = FaceNetwork(config)
        load_into(network, state, WEIGHTS)
        return cls(_on_engine(network.eval(), engine, cache_directory))

    def look(
        self,
        pictures: Sequence[Pyramid],
        windows: Sequence[Window],
        *,
        mirrored: bool = False,
        closely: bool = True,
    ) -> list[Sighting]:
        """One sighting for each window of the picture beside it.

        `mirrored` shows the network mirror images. Unless `closely`, eyes and mouth are not looked at a second time:
        half the work, and as good for saying where a face is.
        """
        config = self.network.config
        size = config.sharp_size if closely else config.input_size
        sightings: list[Sighting] = []
        for start in range(0, len(windows), LARGEST_BATCH):
            batch = windows[start : start + LARGEST_BATCH]
            cuts = [picture.cut(window, size) for picture, window in zip(pictures[start:], batch, strict=False)]
            landmarks, poses, presence, error = self._predict(np.stack(cuts), mirrored=mirrored, closely=closely)
            sightings += [
                Sighting(
                    window.points_to_source(landmarks[i]), window.compose(poses[i]), float(presence[i]), float(error[i])
                )
                for i, window in enumerate(batch)
            ]
        return sightings

    @torch.inference_mode()
    def _predict(self, cuts: Array, *, mirrored: bool, closely: bool) -> tuple[Array, Array, Array, Array]:
        """Landmarks, poses, presence and expected error for windows (B, S, S, 3)."""
        images = torch.from_numpy(cuts).permute(0, 3, 1, 2)
        prediction = self.network(images.flip(-1) if mirrored else images, closely=closely)
        landmarks, pose = prediction.landmarks.numpy(), prediction.pose.numpy()
        if mirrored:
            landmarks = landmarks[:, self.permutation] * np.array([-1.0, 1.0, 1.0], dtype=np.float32)
            pose = pose * np.array([-1.0, 1.0, 1.0, -1.0], dtype=np.float32)
        return landmarks, pose, prediction.presence.sigmoid().numpy(), prediction.log_error.exp().numpy()

    def refine(self, pictures: Sequence[Pyramid], windows: Sequence[Window], looks: int = 3) -> list[Sighting]:
        """Look `looks` times, each time through the windows that the look before found; closely the last time."""
        for _ in range(looks - 1):
            windows = [sighting.window for sighting in self.look(pictures, windows, closely=False)]
        return self.look(pictures, windows)

    def steady(self, picture: Pyramid, window: Window) -> Sighting:
        """Several looks at one face through slightly different and mirrored windows, averaged: for single photos."""
        windows = [window.compose(np.array(pose)) for pose in STEADYING_POSES]
        pictures = [picture] * len(windows)
        sightings = self.look(pictures, windows) + self.look(pictures, windows, mirrored=True)
        seen = [sighting.window for sighting in sightings]
        return Sighting(
            np.stack([sighting.landmarks for sighting in sightings]).mean(axis=0),
            Window(*(float(np.mean([getattr(w, name) for w in seen])) for name in ("x", "y", "side", "angle"))),
            float(np.mean([sighting.presence for sighting in sightings])),
            float(np.mean([sighting.error_px for sighting in sightings])),
        )


def _on_engine(network: FaceNetwork, engine: ReaderEngine, cache_directory: Path | None) -> FaceNetwork:
    if engine == "torch":
        return network
    try:
        from model.extractor.compiled import compiled  # noqa: PLC0415 - an optional package

        return compiled(network, cache_directory=cache_directory)
    except (ImportError, RuntimeError) as error:
        if engine == "openvino":
            raise EngineError(f"engine 'openvino' is not available: {error}; 'torch' would work") from error
        log.warning("extractor falls back to torch", wanted="openvino", reason=str(error))
        return network

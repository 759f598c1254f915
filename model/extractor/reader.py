"""Looks of the network at windows of pictures, and the refinement of a rough window by looking again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.errors import WeightsError
from model.extractor.network import FaceNetwork, NetworkConfig
from model.extractor.window import Pyramid, Window
from model.weights.files import load_into, load_weights

WEIGHTS = "extractor"
LARGEST_BATCH = 64


@dataclass(frozen=True)
class Sighting:
    """What one look gave: landmarks (478, 3) in source pixels, the face's own window, and how sure it is."""

    landmarks: np.ndarray
    window: Window  # upright and centred on the face; where to look next
    presence: float  # 0..1: a whole face is there
    error_px: float  # the landmarks' expected mean error in pixels of a 256 crop

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x, y, width, height of the landmarks in source pixels."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


class FaceReader:
    """The network with pictures and windows around it."""

    def __init__(self, network: FaceNetwork) -> None:
        self.network = network.eval()
        self.size = network.config.input_size

    @classmethod
    def load(cls, directory: Path | None = None) -> FaceReader:
        """Load the released network, or the one in `directory`.

        Raises:
            WeightsError: the files are missing, damaged or do not fit.
        """
        state, card = load_weights(WEIGHTS, directory)
        try:
            config = NetworkConfig.model_validate(card["config"]["network"])
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"card {WEIGHTS}.json has no usable config.network: {error}") from error
        network = FaceNetwork(config)
        load_into(network, state, WEIGHTS)
        return cls(network)

    @torch.inference_mode()
    def look(self, pictures: Sequence[Pyramid], windows: Sequence[Window]) -> list[Sighting]:
        """One sighting for each window of the picture beside it."""
        sightings: list[Sighting] = []
        for start in range(0, len(windows), LARGEST_BATCH):
            batch = windows[start : start + LARGEST_BATCH]
            cuts = [picture.cut(window, self.size) for picture, window in zip(pictures[start:], batch, strict=False)]
            prediction = self.network(torch.from_numpy(np.stack(cuts).transpose(0, 3, 1, 2)))
            presence, error = prediction.presence.sigmoid().tolist(), prediction.log_error.exp().tolist()
            landmarks, poses = prediction.landmarks.numpy(), prediction.pose.numpy()
            sightings += [
                Sighting(window.points_to_source(landmarks[i]), window.compose(poses[i]), presence[i], error[i])
                for i, window in enumerate(batch)
            ]
        return sightings

    def refine(self, pictures: Sequence[Pyramid], windows: Sequence[Window], looks: int = 3) -> list[Sighting]:
        """Look `looks` times, each time through the windows that the look before found."""
        sightings = self.look(pictures, windows)
        for _ in range(looks - 1):
            sightings = self.look(pictures, [sighting.window for sighting in sightings])
        return sightings

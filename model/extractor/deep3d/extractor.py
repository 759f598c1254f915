"""An extractor of motion in the authors' space: faces are found and cut as ever, then read by Deep3DFaceRecon's net."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Self

import numpy as np
import torch

from model.arrays import Array, Pixels
from model.errors import WeightsError
from model.extractor.deep3d.alignment import Alignment, five_points
from model.extractor.deep3d.coefficients import MOTION_SPACE, motion_of
from model.extractor.deep3d.network import Deep3DNetwork
from model.extractor.detect import Face
from model.extractor.extractor import SHOT_FRAMES, Extraction, Extractor
from model.extractor.reader import FaceReader
from model.face.crop import CROP_UNITS
from model.morphable import MorphableModel
from model.weights.files import load_into, load_weights, released_weights

WEIGHTS = f"extractor-{MOTION_SPACE}"
STANDARD_FACE = "standard_face"  # beside the network's keys: the five points (5, 3) that faces are aligned to
PIXEL_MIDDLE = 0.5  # our landmarks count from the first pixel's edge, an alignment's points from its middle


class Deep3DExtractor(Extractor):
    """Faces, crops, landmarks and identity are the released extractor's; the motion (73,) is Deep3DFaceRecon's."""

    motion_space = MOTION_SPACE

    def __init__(
        self, reader: FaceReader, morphable: MorphableModel, network: Deep3DNetwork, standard_face: Array
    ) -> None:
        """`standard_face` (5, 3) is what faces are aligned to, in the network's own units."""
        super().__init__(reader, morphable)
        self.network = network.eval()
        self.standard_face = standard_face

    @staticmethod
    def installed(directory: Path | None = None) -> bool:
        """Whether `import_deep3d` wrote its weights into `directory`, or to the released ones."""
        return ((directory or released_weights()) / f"{WEIGHTS}.json").is_file()

    @classmethod
    def load_beside(cls, extractor: Extractor, directory: Path | None = None, *, device: str = "auto") -> Self:
        """Load the network that `import_deep3d` wrote, to read what `extractor` finds.

        device: "auto" is CUDA where torch sees it, else the CPU.

        Raises WeightsError: the files are missing, damaged or do not fit.
        """
        state, _ = load_weights(WEIGHTS, directory)
        standard_face = state.pop(STANDARD_FACE, torch.empty(0))
        if standard_face.shape != (5, 3):
            raise WeightsError(f"{WEIGHTS} has a standard face of {tuple(standard_face.shape)}; allowed is (5, 3)")
        network = Deep3DNetwork()
        load_into(network, state, WEIGHTS)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(extractor.reader, extractor.morphable, network.to(device), standard_face.double().numpy())

    def extract(self, rgb: Pixels, face: Face | None = None) -> Extraction:
        """See `Extractor.extract`."""
        extraction = super().extract(rgb, face)
        return replace(extraction, motion=motion_of(self.rows([extraction]))[0])

    def extract_video(self, frames: Iterable[Pixels], face: int = 0) -> Iterator[Extraction | None]:
        """See `Extractor.extract_video`; where the face is not seen, the motion read last stays here, too."""
        for come, part in groupby(super().extract_video(frames, face), key=lambda one: one is not None):
            if come:
                yield from self._read(one for one in part if one)
            else:
                yield from part

    def _read(self, extractions: Iterator[Extraction]) -> Iterator[Extraction]:
        held: Array | None = None
        while batch := list(islice(extractions, SHOT_FRAMES)):  # in as many as that, the first has a face
            motions = motion_of(self.rows(batch))
            if held is None:
                held = motions[next((number for number, one in enumerate(batch) if one.seen), 0)]
            for extraction, motion in zip(batch, motions, strict=True):
                held = motion if extraction.seen else held
                yield replace(extraction, motion=held)

    def rows(self, extractions: Sequence[Extraction]) -> Array:
        """Coefficients and alignment numbers (B, 262) of crops, which are the pictures that are aligned.

        The crop and not the photo: what the renderer was trained with was read in pictures of that size.

        Raises NoFaceError: a face is too small to be aligned.
        """
        alignments = [
            Alignment.of(
                five_points(extraction.landmarks)[:, :2] - PIXEL_MIDDLE, self.standard_face, CROP_UNITS, CROP_UNITS
            )
            for extraction in extractions
        ]
        windows = np.stack(
            [alignment.cut(extraction.image) for alignment, extraction in zip(alignments, extractions, strict=True)]
        )
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            coefficients = self.network(torch.from_numpy(windows).to(device)).cpu().numpy()
        return np.concatenate([coefficients, np.stack([alignment.numbers for alignment in alignments])], axis=1)

"""Face finding and extraction: photo or frame -> face crop -> landmarks -> morphable-model coefficients."""

from model.extractor.detect import Face
from model.extractor.extractor import Extraction, Extractor
from model.face.crop import Crop, crop_from_landmarks

__all__ = ["Crop", "Extraction", "Extractor", "Face", "crop_from_landmarks"]

"""The paper's own motion space, from files that a user brings: Deep3DFaceRecon's coefficients of the Basel Face Model.

Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning" (CVPRW 2019). Nothing here ships weights.
"""

from model.extractor.deep3d.extractor import Deep3DExtractor
from model.extractor.deep3d.official import import_deep3d

__all__ = ["Deep3DExtractor", "import_deep3d"]

"""Names for arrays by what they hold. Shapes stand where an array is used; T counts frames in time, B in a batch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""Numbers of a type that its use tells."""

Floats = NDArray[np.float32]
"""What networks take and give: motions (T, D), identities (80,), maps (H, W)."""

Doubles = NDArray[np.float64]

Integers = NDArray[np.int64]

Pixels = NDArray[np.uint8]
"""A picture in RGB (H, W, 3), or a plane of one (H, W)."""

Frames = NDArray[np.uint8]
"""Pictures in RGB (B, H, W, 3)."""

Landmarks = NDArray[np.float32]
"""Landmarks of faces (478, 3) or (B, 478, 3): x, y and depth."""

Samples = NDArray[np.float32]
"""Sound of one channel (N,)."""

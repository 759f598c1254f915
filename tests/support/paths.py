"""Where things of the checkout lie, and the golden outputs of the authors' network where they are at hand."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(os.environ.get("PIRENDERER_GOLDEN", ROOT / "../shared/golden"))

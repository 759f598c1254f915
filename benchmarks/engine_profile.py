"""Profile an engine: its kernels, TFLOP/s and share of peak.

python benchmarks/engine_profile.py full --engine compiled --device cuda --batch-size 32
"""

import json
from typing import Annotated

import typer

from model.engines import EngineSettings
from model.evaluation.engines.profiling import profile
from model.evaluation.engines.subjects import Subject


def main(
    renderer: Annotated[str, typer.Argument(help="'light', 'full' or a file of weights")] = "full",
    *,
    engine: str = "compiled",
    device: str = "cuda",
    precision: str = "auto",
    batch_size: int = 32,
    runs: int = 10,
    size: int = 256,
    top: int = 15,
) -> None:
    """Print as JSON what `model.evaluation.engines.profiling.profile` measures."""
    settings = EngineSettings.model_validate({"engine": engine, "device": device, "precision": precision})
    found = profile(Subject.load(renderer), settings, batch_size=batch_size, runs=runs, size=size, top=top)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    typer.run(main)

"""How long a worker's process needs until it can work, with and without a cache of compiled graphs."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil  # type: ignore[import-untyped]

from jobs.logs import configure_logging
from jobs.motions import ControlsMotion
from jobs.schemas import ImageOptions
from model.metrics.memory import peak_resident_mib
from worker.benchmark.inputs import PORTRAIT
from worker.make.image import make_image
from worker.models import Models
from worker.settings import WorkerSettings
from worker.workbench import Workbench


def measure_start(settings: WorkerSettings) -> dict[str, Any]:
    """Seconds from a process's beginning to models loaded and to a first image made; "cold" without cached graphs."""
    found = {}
    with TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=configure_logging) as pool:
                found[name] = pool.submit(first_image, settings, Path(folder)).result()
    return found


def first_image(settings: WorkerSettings, folder: Path) -> dict[str, float]:
    """Load everything and make one image in this process; seconds since the process began."""
    began = psutil.Process().create_time()
    imported = time.time() - began
    models = Models.of(settings.model_copy(update={"data_dir": folder}))
    models.load_all()
    loaded = time.time() - began
    motion = ControlsMotion(controls={"yaw": 10.0})
    make_image(Workbench(models, settings), PORTRAIT, folder / "a.png", motion=motion, options=ImageOptions())
    return {
        "imported_seconds": round(imported, 2),
        "loaded_seconds": round(loaded, 2),
        "first_image_seconds": round(time.time() - began, 2),
        "peak_mib": round(peak_resident_mib()),
    }

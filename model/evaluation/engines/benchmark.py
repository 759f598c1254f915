"""Every engine of this machine against the eager network, interleaved in one run."""

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, get_args

import structlog
import torch
from torch import Tensor

from model.engines.builder import EngineSettings
from model.engines.engine import Engine
from model.engines.torch_engine import Precision
from model.errors import EngineError
from model.evaluation.engines.subjects import Eager, Scene, Subject
from model.evaluation.renderer.cost import count_flops
from model.machine import available_cores
from model.metrics.images import psnr
from model.metrics.memory import peak_resident_mib
from model.renderer.network import PIRenderer

log = structlog.get_logger(__name__)

EAGER = "eager"
HEAVY = 4e10  # operations of a frame from which on fewer frames do
UNAVAILABLE = (EngineError, ImportError, RuntimeError)
"""What building or running an engine raises where this machine, or these weights, cannot have it."""


@dataclass(frozen=True)
class Contestant:
    """An engine with a batch size and a number of streams."""

    name: str
    settings: EngineSettings | None  # None: eager
    batch_size: int
    streams: int
    images: Callable[[], Tensor]
    frames: Callable[[], Any]  # as bytes, which is what is timed


def benchmark(
    name: str,
    *,
    scene: Scene | None = None,
    frames: int | None = None,
    rounds: int = 3,
    device: str = "auto",
    threads: int | None = None,
    size: int | None = None,
) -> dict[str, Any]:
    """Median milliseconds per frame of each engine, its ratio to eager, how near its pictures are, and its memory.

    `name` is that of a `Subject`. What is timed begins with the descriptors of the motions and ends with the frames'
    bytes in main memory; preparing the portrait is left out, except for eager, which knows no such step. Rounds go
    through all engines in turn, after each has rendered once for the comparison. Without a `scene` a made one of
    `frames` frames is rendered, `size` pixels to a side, or as many as the network
    was made for. Memory is that of a process of its own for each engine.

    Raises WeightsError: there are no such weights.
    """
    subject = Subject.load(name)
    device = _device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    size = size or subject.network.config.size
    operations = count_flops(subject.network, size=size)
    frames = frames or default_frames(subject.network, device)
    scene = scene or Scene.made(subject.network.config, frames, size)
    eager = Eager(subject.network, scene, device)
    reference = eager.images()
    contestants = [Contestant(EAGER, None, 1, 1, eager.images, eager.frames)]
    skipped: dict[str, str] = {}
    rows: list[dict[str, Any]] = [{}]
    for settings in engine_settings(device, threads, frames):
        label = f"{settings.engine}-{device}-{settings.precision}"
        if label in skipped:
            continue
        try:
            engine = subject.engine(settings)
            for contestant in _contestants(engine, settings, scene):
                rows.append(_nearness(contestant.images(), reference))
                if device != "cpu":  # where bytes may be made by other kernels, which are compiled when first used
                    contestant.frames()
                contestants.append(contestant)
        except UNAVAILABLE as error:
            skipped[label] = str(error)
            log.warning("engine skipped", name=label, reason=str(error))
    times = _times(contestants, frames, rounds)
    eager_ms = statistics.median(times[0])
    for row, contestant, taken in zip(rows, contestants, times, strict=True):
        value = statistics.median(taken)
        row |= {
            "engine": contestant.name,
            "batch_size": contestant.batch_size,
            "streams": contestant.streams,
            "ms_per_frame": round(value, 3),
            "ms_per_frame_range": [round(min(taken), 3), round(max(taken), 3)],
            "frames_per_second": round(1000 / value, 2),
            "ratio_to_eager": round(eager_ms / value, 2),
        }
    _add_memory(rows, contestants, name=name, device=device, frames=frames, size=size)
    return {
        "renderer": name,
        "weights": subject.weights,
        "gflop_per_frame": round(operations["frame"] / 1e9, 2),
        "gflop_per_frame_as_published": round(operations["whole"] / 1e9, 2),
        "size": size,
        "frames": frames,
        "rounds": rounds,
        "engines": rows,
        "skipped": skipped,
    }


def default_frames(network: PIRenderer, device: str = "auto") -> int:
    """How many frames give a steady figure in reasonable time."""
    if _device(device) != "cpu":
        return 64
    return 4 if count_flops(network)["frame"] > HEAVY else 8


def engine_settings(device: str, threads: int | None, frames: int) -> Iterator[EngineSettings]:
    """What is worth measuring on a device: each engine and precision, with batches and streams that may be the best.

    On the CPU torch is the reference, in float32.
    """
    if device != "cpu":
        for precision in get_args(Precision):
            yield EngineSettings(engine="torch", device=device, precision=precision)
            yield EngineSettings(engine="compiled", device=device, precision=precision)
        return
    common: dict[str, Any] = {"device": device, "threads": threads}
    yield EngineSettings(engine="torch", precision="float32", **common)
    if importlib.util.find_spec("openvino") is None:
        return
    cores = threads or available_cores()
    shapes = sorted({(1, 1), (1, cores), (4, 1)})
    precisions = [p for p in get_args(EngineSettings.model_fields["precision"].annotation) if p != "auto"]
    precisions.remove("float16")  # of CUDA devices alone
    for precision in precisions:
        for batch_size, streams in shapes:
            if batch_size * streams <= frames:
                yield EngineSettings(
                    engine="openvino", precision=precision, batch_size=batch_size, streams=streams, **common
                )


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _contestants(engine: Engine, settings: EngineSettings, scene: Scene) -> Iterator[Contestant]:
    """The engine with the batch of its settings; torch's take any batch, so one engine stands for several."""
    total = len(scene.motions)
    portrait, descriptors = engine.prepare(scene.source), engine.describe(scene.motions)
    sizes, streams = [settings.batch_size], settings.streams or 1
    if settings.engine != "openvino":
        sizes = [size for size in (1, 4, 8, 16, 32, 64) if size < total or size == total]
        sizes = sizes if settings.device != "cpu" else [1]
    for batch_size in sorted(set(sizes)):
        alone = batch_size == streams == 1
        handed = 1 if alone else batch_size if settings.engine != "openvino" else total  # frames in one call
        parts = [slice(start, start + handed) for start in range(0, total, handed)]
        yield Contestant(
            engine.name,
            settings,
            batch_size,
            streams,
            lambda parts=parts: torch.cat(  # type: ignore[misc]
                [engine.render(portrait, descriptors[part], scene.prior(part)).image.cpu() for part in parts]
            ),
            lambda parts=parts: [  # type: ignore[misc]
                engine.render_frames(portrait, descriptors[part], scene.prior(part)) for part in parts
            ],
        )


def _times(contestants: list[Contestant], frames: int, rounds: int) -> list[list[float]]:
    """Milliseconds per frame of each contestant in each round."""
    times: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for contestant, taken in zip(contestants, times, strict=True):
            start = time.perf_counter()
            contestant.frames()
            taken.append((time.perf_counter() - start) / frames * 1000)
    return times


def _nearness(images: Tensor, reference: Tensor) -> dict[str, Any]:
    return {
        "psnr_db": round(min(psnr(images, reference).min().item(), 200.0), 2),  # equal pictures have no finite one
        "largest_difference": round((images - reference).abs().max().item(), 7),
    }


def _add_memory(rows: list[dict[str, Any]], contestants: list[Contestant], **scene: Any) -> None:
    """Mark each engine at its fastest, and add the peak memory of a process that runs it so."""
    fastest: dict[str, int] = {}
    for number, contestant in enumerate(contestants):
        best = fastest.setdefault(contestant.name, number)
        if rows[number]["ms_per_frame"] < rows[best]["ms_per_frame"]:
            fastest[contestant.name] = number
    for engine, number in fastest.items():
        contestant = contestants[number]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            asked = pool.submit(peak_memory, contestant.settings, contestant.batch_size, **scene)
            rows[number] |= {"best": True, **asked.result()}
        log.info("memory measured", name=engine)


def peak_memory(
    settings: EngineSettings | None, batch_size: int, *, name: str, device: str, frames: int, size: int
) -> dict[str, int]:
    """MiB that this process has held after rendering with one engine alone, and before anything was loaded."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    before = peak_resident_mib()
    subject = Subject.load(name)
    scene = Scene.made(subject.network.config, frames, size)
    if settings is None:
        Eager(subject.network, scene, device).frames()
    else:
        contestants = _contestants(subject.engine(settings), settings, scene)
        next(contestant for contestant in contestants if contestant.batch_size == batch_size).frames()
    found = {"peak_memory_mib": round(peak_resident_mib()), "libraries_mib": round(before)}
    if device != "cpu":
        found["peak_device_memory_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return found

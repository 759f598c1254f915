"""Where an engine's time goes, and what share of the machine's peak it reaches."""

import time
from typing import Any

import torch
from torch.profiler import ProfilerActivity

from model.engines.builder import EngineSettings
from model.engines.torch_engine import TorchEngine
from model.errors import EngineError
from model.evaluation.engines.subjects import Scene, Subject
from model.evaluation.renderer.cost import count_flops

PRODUCTS = 8  # timed for the peak; the fastest counts
TERA = 1e12


def profile(
    subject: Subject,
    settings: EngineSettings,
    *,
    batch_size: int = 32,
    runs: int = 10,
    size: int | None = None,
    top: int = 15,
) -> dict[str, Any]:
    """Frames per second, TFLOP/s, share of peak and the `top` kernels of batches of a made scene.

    The operations are those that `count_flops` counts for a frame of the network: what an engine saves by algebra
    counts as done, what it fills up a batch with does not. The peak is that of a large matrix product in the engine's
    precision, timed in the same run. Kernels are timed in runs of their own, since the profiler slows what it watches;
    "busy" is the share of those runs' time in which they worked, on the CPU their share of all that torch did there.

    Raises EngineError: this machine lacks the engine, or it computes outside of torch, where torch's profiler is blind.
    Raises ValueError: a number is below 1.
    """
    for name, value in (("batch_size", batch_size), ("runs", runs), ("top", top)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    engine = subject.engine(settings)
    if not isinstance(engine, TorchEngine):
        raise EngineError(f"engine is {engine.name!r}, which torch cannot profile; 'torch' and 'compiled' would work")
    size = size or subject.network.config.size
    scene = Scene.made(subject.network.config, batch_size, size)
    portrait, descriptors, prior = engine.prepare(scene.source), engine.describe(scene.motions), scene.priors
    device = next(engine.network.parameters()).device

    def seconds() -> float:
        start = time.perf_counter()
        for _ in range(runs):
            engine.render_frames(portrait, descriptors, prior)  # ends with its bytes in main memory
        return time.perf_counter() - start

    engine.render_frames(portrait, descriptors, prior)  # compiles
    frames_per_second = runs * batch_size / seconds()
    on_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with torch.profiler.profile(activities=activities) as watched:
        taken = seconds()
    kind = "self_device_time_total" if on_cuda else "self_cpu_time_total"  # microseconds
    kernels = sorted(watched.key_averages(), key=lambda kernel: -getattr(kernel, kind))
    total = sum(getattr(kernel, kind) for kernel in kernels)
    operations = count_flops(subject.network, size=size)["frame"]
    reached = frames_per_second * operations / TERA
    peak = peak_tflops(device, getattr(torch, engine.precision))
    return {
        "engine": engine.name,
        "batch_size": batch_size,
        "size": size,
        "gflop_per_frame": round(operations / 1e9, 3),
        "frames_per_second": round(frames_per_second, 2),
        "tflops": round(reached, 4),
        "peak_tflops": round(peak, 4),
        "share_of_peak": round(reached / peak, 4),
        "busy": round(total / 1e6 / taken, 3),
        "kernels": [
            {
                "name": kernel.key,
                "calls": kernel.count,
                "ms_per_frame": round(getattr(kernel, kind) / 1000 / runs / batch_size, 5),
                "share": round(getattr(kernel, kind) / total, 4),
            }
            for kernel in kernels[:top]
        ],
    }


@torch.inference_mode()
def peak_tflops(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a product of two square matrices, the fastest of a few."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        (left @ right)[0, 0].item()  # waits for the product
        times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times) / TERA

"""What figures were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from model.machine import available_cores

FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")  # that engines compute with
PACKAGES = ("torch", "openvino", "av", "opencv-python-headless")


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory and GPU of this machine, and the versions of what computes."""
    name, flags = _processor()
    return {
        "processor": name,
        "features": [feature for feature in FEATURES if feature in flags],
        "cores": available_cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _processor() -> tuple[str, list[str]]:
    """Its name, and what it can do as the kernel says."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine(), []
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8").split("\n\n")[0].splitlines())
    told = {key.strip(): value.strip() for key, _, value in lines}
    name = told.get("model name") or platform.machine()
    return name, told.get("flags", told.get("Features", "")).split()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

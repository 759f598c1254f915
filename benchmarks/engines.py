"""Measure the engines on either size of the renderer: python benchmarks/engines.py [--size full] [--json]."""

import argparse
import json
from pathlib import Path

import torch

from model.engines.benchmark import benchmark
from model.renderer import PIRenderer, RendererConfig, initialize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("released", "light", "full"), default="released")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--cache", type=Path, default=None, help="folder for compiled graphs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    configs = {"released": None, "light": RendererConfig.light(70), "full": RendererConfig.full(73)}
    config = configs[options.size]
    network = initialize(PIRenderer(config), torch.Generator().manual_seed(0)) if config else None
    report = benchmark(
        frames=options.frames,
        rounds=options.rounds,
        network=network,
        threads=options.threads,
        cache_directory=options.cache,
    )
    if options.json:
        print(json.dumps(report, indent=2))
        return
    for name, value in report.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()

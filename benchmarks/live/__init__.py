"""Live sessions with the released weights: `python -m benchmarks.live --out out/live`."""

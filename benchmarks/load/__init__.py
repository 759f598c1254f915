"""The front-end under load, with workers that render nothing: `python -m benchmarks.load --out out/load`."""

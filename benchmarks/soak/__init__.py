"""Hours of mixed work on one service, to see whether anything grows: `python -m benchmarks.soak --minutes 120`."""

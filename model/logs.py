"""Where the logs of the offline side go."""

import sys

import structlog


def log_to_stderr() -> None:
    """Logs go to the standard error stream, so that the standard output holds the figures alone."""
    # Looked up at each line: the stream that is current now may be replaced and closed by then.
    structlog.reset_defaults()  # what formats lines belongs to what prints them
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

"""Logging of front-end and workers: structlog and the standard library through one formatter, to standard error."""

import io
import logging
import sys
from typing import Any, TextIO

import structlog

from jobs.settings import LogLevel
from jobs.tracing import trace_ids

OURS = ("jobs", "service", "worker", "model")  # packages, whose modules' loggers have their names


class _StandardError(logging.StreamHandler[TextIO]):
    """Looks the stream up at each line: the one that is current now may be replaced and closed by then."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure_logging(level: LogLevel = "info") -> None:
    """Lines for people on a terminal, JSON lines otherwise; never the values of local variables.

    Below "info" only our own packages are heard: what libraries say there holds headers, addresses and messages.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        last = [_escape, structlog.dev.ConsoleRenderer(exception_formatter=_indented_traceback)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _StandardError()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("INFO" if level == "debug" else level.upper())
    for package in OURS:
        logging.getLogger(package).setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # we ask ourselves whether we are ready; nobody need know


def _add_trace(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The span in which a line is logged, if there is one."""
    event.update(trace_ids())
    return event


def _escape(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Strangers choose some of what is logged: it must neither steer the terminal nor look like lines of ours."""
    return {key: value if key == "exc_info" else _printable(value) for key, value in event.items()}


def _printable(value: Any) -> Any:
    """The value with all that is not seen (controls, line ends, marks of direction) shown as escapes."""
    text = value if isinstance(value, str) else repr(value)
    if text.isprintable():
        return value
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _indented_traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    stream.writelines(f"\n    {_printable(line)}" for line in text.getvalue().strip("\n").split("\n"))

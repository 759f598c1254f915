"""The forkserver: forks a child for each piece of decoding, and does nothing else.

It holds the decoders ready, so a child begins within milliseconds. It has a single thread, since only then forking is
safe, ignores the signals by which workers are stopped, and ends when its worker does.
"""

import gc
import importlib
import os
import signal
import socket
import time

from PIL import Image

from worker.decoding import child, wire

# What Pillow and PyAV load only for a file that needs it: a confined child could not.
LOADED_LATE = (
    "PIL.MpoImagePlugin",
    "PIL.AvifImagePlugin",
    "PIL.TiffImagePlugin",
    "PIL.WebPImagePlugin",
    "av.subtitles.stream",
)


def serve() -> None:
    """Fork and reap children for the worker at the other end of standard input, until it closes."""
    for stop in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(stop, signal.SIG_IGN)  # the worker decides when it is over, and we see that
    Image.preinit()
    for module in LOADED_LATE:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    control = socket.socket(fileno=0)
    own = os.getpid()
    while True:
        try:
            request, files = wire.receive_files(control, 2)
        except EOFError:
            return
        if "end" in request:
            wire.send(control, {"code": _end(request["end"], request["patience_s"])})
            continue
        try:
            number = os.fork()
        except OSError as error:  # memory or processes are short; other children work on
            answer: wire.Header = {"refused": error.errno}
        else:
            if number == 0:
                child.run(request, *files, parent=own)
            answer = {"child": number}
        for file in files:
            os.close(file)
        wire.send(control, answer)


def _end(child: int, patience_s: float) -> int:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    serve()

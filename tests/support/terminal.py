"""A command at a terminal of its own, where Ctrl-C can be pressed."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping

from tests.support.paths import ROOT
from tests.support.processes import until

CTRL_C = b"\x03"


def _as_a_shell_would() -> None:
    """A terminal of its own, and Ctrl-C heard, though whoever runs the tests may have them ignore it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """Runs `pirenderer` with its arguments until the `with` block ends. What it prints is `text`."""

    def __init__(self, *arguments: str, environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._chunks: list[bytes] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", *arguments],
            cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=_as_a_shell_would,  # noqa: PLW1509 - two system calls
        )  # fmt: skip
        os.close(theirs)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(30)
        os.close(self._ours)

    @property
    def text(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Until it prints it."""
        until(lambda: text in self.text or self.process.poll() is not None, lambda: self.text)
        assert text in self.text

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 4096):
                self._chunks.append(chunk)
        except OSError:  # nobody holds the other end any more
            pass

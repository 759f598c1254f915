"""Small files that operators name or keep: values of settings, keys, certificates."""

import errno
import stat
from pathlib import Path

MOST_BYTES = 64 * 1024  # no value and no certificate is longer


def read_regular(path: Path, *, most: int | None = MOST_BYTES) -> bytes:
    """The whole of a regular file, or of what a link leads to; at most `most` bytes.

    Raises OSError, whose `strerror` says why: also for a pipe or a device, which may never come to an end, and whose
    content the next process that asks for it would lack.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    with path.open("rb") as file:
        content = file.read() if most is None else file.read(most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most} bytes, which are all it may have", str(path))
    return content

"""The process that confines itself and then becomes espeak-ng: `launcher.py MEMORY SECONDS PROGRAM ARGUMENTS`.

It is run by its path, in an interpreter without site-packages, so that it begins in some milliseconds.
"""

import os
import signal
import sys

sys.path.append(__file__.rsplit("/", 3)[0])  # where `jobs` is

from jobs.confinement.confinement import confine

PROGRAMS = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache")
OWN_FOLDERS = ("ESPEAK_DATA_PATH", "LD_LIBRARY_PATH")


def main(memory: str, seconds: str, *command: str) -> None:
    """Run the command with so much memory in bytes and so many seconds of computing. It ends with EX_UNAVAILABLE where
    that cannot be started."""
    own = [folder for name in OWN_FOLDERS for folder in os.environ.get(name, "").split(":")]
    paths = [path for path in (*PROGRAMS, *own, command[0]) if os.access(path, os.R_OK)]
    confine(paths, memory=int(memory), seconds=int(seconds), execute=True)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it
    os.environ.pop("LC_CTYPE", None)  # Python sets it
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the aim
    except OSError:
        sys.exit(os.EX_UNAVAILABLE)


if __name__ == "__main__":
    main(*sys.argv[1:])

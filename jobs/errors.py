"""The root of what keeps a command from beginning."""


class UnusableError(Exception):
    """What is set, or this machine, cannot be used as it is; the text is one line that says why.

    The command line says it and exits with 2, whichever command it was.
    """

"""What a worker raises by itself; everything else it raises comes from the models or is a fault of its own."""

from typing import Any

from jobs.problems import ProblemType


class InputError(Exception):
    """What the user sent cannot be used; the message is written for the user.

    `problem` is the kind of problem the job ends with, `got` the value found and `allowed` what would have been
    accepted (both JSON values, or None where there is nothing to name).
    """

    def __init__(self, problem: ProblemType, detail: str, *, got: Any = None, allowed: Any = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail
        self.got = got
        self.allowed = allowed

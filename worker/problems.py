"""From exceptions to the problem a job ends with: one table, used at the task's edge and nowhere else."""

import errno

import cv2
import torch
from billiard.exceptions import SoftTimeLimitExceeded

from jobs.problems import Problem, ProblemError, ProblemType
from model.errors import (
    AudioError,
    ControlError,
    EngineError,
    FaceIndexError,
    MotionSpaceError,
    NoFaceError,
    WeightsError,
)

BROKEN_DEVICE_EXIT_CODE = 70  # EX_SOFTWARE; what leaves a process of which the accelerator is broken

# The models' own errors; their texts are written for users.
_MODEL_PROBLEMS: tuple[tuple[type[Exception], ProblemType], ...] = (
    (NoFaceError, ProblemType.NO_FACE),
    (FaceIndexError, ProblemType.NO_SUCH_FACE),
    (MotionSpaceError, ProblemType.WRONG_MOTION_SPACE),
    (ControlError, ProblemType.INVALID_MOTION),
    (AudioError, ProblemType.SILENT_AUDIO),
    (WeightsError, ProblemType.NO_MODEL),
    (EngineError, ProblemType.NO_MODEL),
)

# What torch's allocator for CPUs and Python's threads say, for which neither has an exception of its own.
_NO_MEMORY = ("can't allocate memory", "can't start new thread")


def problem_of(error: BaseException) -> Problem:
    """What the user is told of an exception. Of an unexpected one only that it happened: its text may hold secrets."""
    if isinstance(error, ProblemError):
        return error.problem
    for kind, problem in _MODEL_PROBLEMS:
        if isinstance(error, kind):
            return Problem.of(problem, str(error))
    if _lacks_memory(error):
        return Problem.of(
            ProblemType.OUT_OF_MEMORY, "the worker's memory did not suffice for this job; a smaller size or less may do"
        )
    if isinstance(error, SoftTimeLimitExceeded):
        return Problem.of(ProblemType.TIMED_OUT, "the job took longer than a job may; a shorter video may do")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Problem.of(ProblemType.STORAGE_FULL, "there was no room to store the result; try again later")
    return Problem.of(ProblemType.INTERNAL, "something unexpected happened while the job was worked on; it is logged")


def _lacks_memory(error: BaseException) -> bool:
    """Whether memory could not be had: libraries say so in ways of their own."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def is_expected(error: BaseException) -> bool:
    """Whether the error is the user's or the machine's, and no fault in the program to be looked into."""
    return problem_of(error).type != ProblemType.INTERNAL.uri

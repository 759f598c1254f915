"""What the user is told of an exception."""

import errno
from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from billiard.exceptions import SoftTimeLimitExceeded

from jobs.problems import ProblemError, ProblemType
from model import errors as model_errors
from worker.problems import is_expected, problem_of


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (model_errors.NoFaceError("no face here"), ProblemType.NO_FACE),
        (model_errors.FaceIndexError("face 3 of 2"), ProblemType.NO_SUCH_FACE),
        (model_errors.MotionSpaceError("69 numbers"), ProblemType.WRONG_MOTION_SPACE),
        (model_errors.ControlError("yaw is 99"), ProblemType.INVALID_MOTION),
        (model_errors.AudioError("two channels"), ProblemType.SILENT_AUDIO),
        (model_errors.WeightsError("no weights"), ProblemType.NO_MODEL),
        (model_errors.EngineError("no engine"), ProblemType.NO_MODEL),
    ],
)
def test_the_models_errors_keep_their_words(error: Exception, problem: ProblemType) -> None:
    told = problem_of(error)
    assert (told.type, told.status, told.detail) == (problem.uri, problem.status, str(error))
    assert is_expected(error)


def test_input_errors_name_the_value_and_what_is_allowed() -> None:
    told = problem_of(ProblemError(ProblemType.TOO_MANY_PIXELS, "too many", got=7, allowed=5))
    assert (told.got, told.allowed, told.status) == (7, 5, 422)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (MemoryError(), ProblemType.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), ProblemType.OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ProblemType.OUT_OF_MEMORY),
        (RuntimeError("can't start new thread"), ProblemType.OUT_OF_MEMORY),
        (RuntimeError("secret"), ProblemType.INTERNAL),
        (SoftTimeLimitExceeded(), ProblemType.TIMED_OUT),
        (OSError(errno.ENOSPC, "No space left on device", "/srv/secret"), ProblemType.STORAGE_FULL),
        (OSError(errno.EIO, "Input/output error", "/srv/secret"), ProblemType.INTERNAL),
        (KeyError("secret"), ProblemType.INTERNAL),
    ],
)
def test_of_our_own_troubles_the_kind_is_told_and_nothing_else(error: Exception, problem: ProblemType) -> None:
    told = problem_of(error)
    assert (told.type, told.status) == (problem.uri, problem.status)
    assert "secret" not in told.model_dump_json()
    assert is_expected(error) == (problem is not ProblemType.INTERNAL)


@pytest.mark.parametrize(
    "greedy",
    [
        lambda: torch.empty(1 << 60),
        lambda: cv2.copyMakeBorder(np.zeros((1, 1)), 0, 1 << 30, 0, 1 << 30, 0),
        lambda: bytearray(1 << 60),
    ],
)
def test_libraries_that_get_no_memory_are_understood(greedy: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, cv2.error, MemoryError)) as caught:
        greedy()
    assert problem_of(caught.value).type == ProblemType.OUT_OF_MEMORY.uri, caught.value


def test_every_error_of_the_models_for_users_has_a_problem_of_its_own() -> None:
    offline = {"ModelError", "DataError", "TrainingDivergedError"}
    for name, kind in vars(model_errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception) and name not in offline:
            assert is_expected(kind("text")), name

"""A client of the PIRenderer service.

    with Client("http://127.0.0.1:8000", api_key="...") as client:
        client.animate("me.jpg", audio="speech.flac").save("talking-head.mp4")

`AsyncClient` does the same with `await`. Every failure is a ServiceError.
"""

from pirenderer_client.aio import AsyncClient, AsyncJob
from pirenderer_client.calls import Animation, Extraction, Input, Portrayed, Pose, Terms
from pirenderer_client.client import Client, Job
from pirenderer_client.errors import (
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    ServiceError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
)
from pirenderer_client.models import Event, JobFailedError, Portrait, Progress, Result

__all__ = [
    "Animation",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "ConnectionFailedError",
    "Event",
    "Extraction",
    "Input",
    "InvalidRequestError",
    "Job",
    "JobFailedError",
    "NotFoundError",
    "Portrait",
    "Portrayed",
    "Pose",
    "Progress",
    "Result",
    "ServiceError",
    "Terms",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
]

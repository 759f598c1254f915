"""A client of the PIRenderer service.

    with Client("http://127.0.0.1:8000", api_key="...") as client:
        client.animate("me.jpg", audio="speech.flac").save("talking-head.mp4")

`AsyncClient` does the same with `await`. What the service or the way to it fails at is a ServiceError.
"""

from pirenderer_client.aio import AsyncClient, AsyncJob
from pirenderer_client.calls import Animation, Extraction, Filters, Input, Portrayed, Pose, Terms
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
from pirenderer_client.live import AsyncLive, Live, LiveOptions, LivePicture
from pirenderer_client.models import (
    Control,
    Event,
    File,
    JobFailedError,
    Kind,
    MotionSpace,
    Portrait,
    Progress,
    Result,
    Status,
    Voice,
    WebhookDelivery,
    WebhookTest,
)

__all__ = [
    "Animation",
    "AsyncClient",
    "AsyncJob",
    "AsyncLive",
    "Client",
    "ConnectionFailedError",
    "Control",
    "Event",
    "Extraction",
    "File",
    "Filters",
    "Input",
    "InvalidRequestError",
    "Job",
    "JobFailedError",
    "Kind",
    "Live",
    "LiveOptions",
    "LivePicture",
    "MotionSpace",
    "NotFoundError",
    "Portrait",
    "Portrayed",
    "Pose",
    "Progress",
    "Result",
    "ServiceError",
    "Status",
    "Terms",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "Voice",
    "WebhookDelivery",
    "WebhookTest",
]

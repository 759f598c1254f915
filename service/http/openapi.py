"""What calls may answer, as routes tell OpenAPI; document.py makes the whole of it."""

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]
Responses = dict[int | str, Json]

REFERENCE = "#/components/schemas/{model}"
EVENT_STREAM = "text/event-stream"
PROBLEM_TYPE = "application/problem+json"
PROBLEM = {"content": {PROBLEM_TYPE: {"schema": {"$ref": REFERENCE.format(model="Problem")}}}}
ACCESS = {
    401: "No valid API key",
    403: "The key lacks a scope, or may never do as much at once; without keys, a page of another origin",
    422: "A value is not valid, or there is no such query parameter",
    429: "More than the key or its owner may do; Retry-After says when to ask again",
    503: "A part of the service is not available; Retry-After says when to ask again",
}


def job_response(text: str, example: str) -> Json:
    """A job is answered; `example` is one of the document's."""
    media = {"schema": {"$ref": REFERENCE.format(model="Job")}, "examples": references("examples", [example])}
    return {"description": text, "content": {"application/json": media}}


def references(kind: str, names: Iterable[str]) -> Json:
    """References to components of the document, by their names."""
    return {name: {"$ref": f"#/components/{kind}/{name}"} for name in names}


CREATE_RESPONSES: Responses = {
    200: job_response("The finished job, where `Prefer: wait` saw it end", "job-succeeded"),
    202: job_response("The job, queued", "job-queued"),
    **{
        status: {"description": text, **PROBLEM}
        for status, text in {
            **ACCESS,
            400: "The form or the JSON in it cannot be read",
            408: "The form took too long to arrive",
            409: "A request with this Idempotency-Key is in progress",
            410: "The job made with this Idempotency-Key has been deleted",
            413: "An upload is larger than allowed",
            415: "A file is of a kind not accepted",
            422: "A field is not valid",
            503: "A model is missing, the queue is full or a part of the service is not available",
            507: "There is no room to store the upload, or as much is kept for the owner as may be",
        }.items()
    },
}


def problem_responses(**texts: str) -> Responses:
    """Responses such as `problem_responses(s404="No such job")`, all of them problems."""
    return {int(name[1:]): {"description": text, **PROBLEM} for name, text in texts.items()}


STRANGER = problem_responses(s403="Without keys: a page of another origin")


def access_responses(**texts: str) -> Responses:
    """The same with those of every call that takes a key."""
    return {
        **{status: {"description": text, **PROBLEM} for status, text in ACCESS.items()},
        **problem_responses(**texts),
    }

"""Describes in OpenAPI what cannot be read off the routes' signatures: problems, and the schemas of forms."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from jobs.motions import Motion
from jobs.problems import Problem
from jobs.schemas import ImageOptions, Metadata, MotionOptions, Motions, VideoOptions
from jobs.webhooks import Webhook
from service.http.examples import EXAMPLES

REFERENCE = "#/components/schemas/{model}"
PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}}
JOB = {"content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="Job")}}}}
ACCESS = {
    401: "No valid API key",
    403: "The key lacks a scope; without keys, a page of another origin",
    422: "A value is not valid, or there is no such query parameter",
    429: "More than the key or its owner may do; Retry-After says when to ask again",
    503: "A part of the service is not available; Retry-After says when to ask again",
}
CREATE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The finished job, where `Prefer: wait` saw it end", **JOB},
    202: {"description": "The job, queued", "headers": {"Location": {"schema": {"type": "string"}}}},
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


def problem_responses(**texts: str) -> dict[int | str, dict[str, Any]]:
    """Responses such as `problem_responses(s404="No such job")`, all of them problems."""
    return {int(name[1:]): {"description": text, **PROBLEM} for name, text in texts.items()}


def access_responses(**texts: str) -> dict[int | str, dict[str, Any]]:
    """The same with those of every call that takes a key."""
    return {
        **{status: {"description": text, **PROBLEM} for status, text in ACCESS.items()},
        **problem_responses(**texts),
    }


def install(app: FastAPI, parameters: dict[str, dict[str, Any]]) -> None:
    """Let the application's document hold the schemas that forms and problems refer to, and `parameters`."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                servers=app.servers,
            )
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            for operation in (each for path in made["paths"].values() for each in path.values()):
                if "422" in operation["responses"]:  # FastAPI documents its own answer, which problems.py replaces
                    operation["responses"]["422"] = {"description": "A value is not valid", **PROBLEM}
            for name, adapter in {
                "Motion": TypeAdapter[Any](Motion),
                "Motions": TypeAdapter[Any](Motions),
                "ImageOptions": TypeAdapter[Any](ImageOptions),
                "VideoOptions": TypeAdapter[Any](VideoOptions),
                "MotionOptions": TypeAdapter[Any](MotionOptions),
                "Webhook": TypeAdapter[Any](Webhook),
                "Metadata": TypeAdapter[Any](Metadata),
                "Problem": TypeAdapter[Any](Problem),
            }.items():
                schema = adapter.json_schema(ref_template=REFERENCE)
                schemas.update(schema.pop("$defs", {}))
                schemas[name] = schema
            for name, examples in EXAMPLES.items():
                schemas[name]["examples"] = examples
            made["components"]["parameters"] = parameters
            made["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            made["security"] = [{}, {"bearer": []}, {"header": []}]  # none: where the service runs without keys
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # the documented way to replace it

"""Makes the OpenAPI document: what FastAPI reads off the routes, with what routes cannot say."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from jobs.motions import Motion
from jobs.problems import Problem
from jobs.schemas import ImageOptions, Metadata, MotionOptions, Motions, VideoOptions, WebhookMessage
from jobs.webhooks import Webhook, WebhookEvent
from service.http.descriptions import (
    CONTACT,
    CREATES,
    DONE,
    FIELDS,
    HEADERS,
    LICENSE,
    NEXT_CALLS,
    PARAMETERS,
    SUMMARIES,
    TAGS,
    WEBHOOK_HEADERS,
    WEBHOOK_TEXT,
)
from service.http.examples import ANSWERS, EVENTS, EXAMPLES
from service.http.inputs import KeptPortrait
from service.http.openapi import EVENT_STREAM, PROBLEM_TYPE, REFERENCE, Json, problem_responses, references
from service.http.problem_examples import PROBLEMS

DESCRIPTION = """\
Portrait animation: a photo and a pose, or a photo and speech, in; an image or a video out.

A kept portrait can also be moved live, over a WebSocket at `/v1/live`. OpenAPI has no words for what is said in one:
`docs/live.md` of the project tells it.
"""

# What is sent and answered, but not declared as what a route takes or returns
SCHEMAS: Json = {
    "Motion": Motion,
    "Motions": Motions,
    "ImageOptions": ImageOptions,
    "VideoOptions": VideoOptions,
    "MotionOptions": MotionOptions,
    "Webhook": Webhook,
    "Metadata": Metadata,
    "WebhookMessage": WebhookMessage,
    "Problem": Problem,
    "KeptPortrait": KeptPortrait,
}


# Of these, what clients send; the others they only read
SENT = {"ControlsMotion", "CoefficientsMotion", "FramesMotion", "KeyframesMotion", "Webhook"} | {
    model.__name__ for model in (ImageOptions, VideoOptions, MotionOptions)
}


def install(app: FastAPI, parameters: Json) -> None:
    """Let the application make its document so, once. Create calls refer to `parameters`."""

    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _make(app, parameters)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign] # the documented way to replace it


def _make(app: FastAPI, parameters: Json) -> Json:
    made = get_openapi(
        **{name: getattr(app, name) for name in ("title", "version", "description", "routes", "servers")},
        tags=TAGS,
        contact=CONTACT,
        license_info=LICENSE,
    )
    schemas = made["components"]["schemas"]
    made["components"] = _components(schemas, parameters)
    made["security"] = [{}, {"bearer": []}, {"header": []}]  # none: where the service runs without keys
    made["webhooks"] = {event.value: {"post": _webhook(event)} for event in WebhookEvent}
    for operation in (each for path in made["paths"].values() for each in path.values()):
        _complete(operation, schemas)
    return made


def _components(schemas: Json, parameters: Json) -> Json:
    """What operations refer to; `schemas` are those that FastAPI found, and get more."""
    for name in ("HTTPValidationError", "ValidationError"):  # of FastAPI's own answer, which problems.py replaces
        schemas.pop(name, None)
    for name, model in SCHEMAS.items():
        schema = TypeAdapter[Any](model).json_schema(ref_template=REFERENCE)
        schemas |= schema.pop("$defs", {}) | {name: schema}
    for name, examples in EXAMPLES.items():
        schemas[name]["examples"] = examples
    for name, schema in schemas.items():
        for field, said in schema.get("properties", {}).items():
            _describe(said, FIELDS.get(f"{name}.{field}") or FIELDS.get(field), without_default=name in SENT)
    shown = {
        name: (each.type.title, each.problem.model_dump(exclude_none=True))
        for name, each in PROBLEMS.items()
        if each.calls != frozenset()
    }
    return {
        "schemas": schemas,
        "parameters": parameters,
        "headers": {
            name: {"description": each.description, "schema": each.schema, "example": each.example}
            for name, each in HEADERS.items()
        },
        "examples": {name: {"summary": text, "value": value} for name, (text, value) in (ANSWERS | shown).items()},
        "links": {
            call: {
                "operationId": call,
                "description": SUMMARIES[call],
                "parameters": {each.parameter: "$response.body#/id"},
            }
            for each in NEXT_CALLS
            for call in each.calls
        },
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key, as `Authorization: Bearer KEY`"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key by itself"},
        },
    }


def _describe(field: Json, text: str | None, *, without_default: bool) -> None:
    """Say what a field is, where readers look for it: by its own words, else by `text`; and what it is if it is not
    sent.

    Generators take a field with a default for one that is always there, and would ask for all of them.
    """
    own = [each["description"] for each in field.get("anyOf", ()) if "description" in each]
    if "$ref" not in field and "description" not in field and (said := [*own, *([text] if text else [])]):
        field["description"] = said[0]
    if without_default and (value := field.pop("default", None)) is not None:
        unset = f"unset: {json.dumps(value)}"
        field["description"] = f"{field['description']}; {unset}" if "description" in field else unset.capitalize()


def _complete(operation: Json, schemas: Json) -> None:
    """Say of a call what its route does not."""
    call, answers = operation["operationId"], operation["responses"]
    operation["summary"] = SUMMARIES[call]
    if call in CREATES:
        address = "{$request.body#/webhook/url}"
        operation["callbacks"] = {event: {address: {"$ref": f"#/webhooks/{event}"}} for event in WebhookEvent}
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if name := media["schema"].get("title"):  # by which generators call it, if it stands by itself
            schemas[name] = media["schema"]
            media["schema"] = {"$ref": REFERENCE.format(model=name)}
    for parameter in operation.get("parameters", ()):
        if "anyOf" in (schema := parameter.get("schema", {})):  # which is left out rather than null
            (parameter["schema"],) = (each for each in schema["anyOf"] if each != {"type": "null"})
        if text := PARAMETERS.get(parameter.get("name")):
            parameter["description"] = text
    if answers.get("422", {}).get("description") == "Validation Error":  # FastAPI's own, which problems.py replaces
        del answers["422"]
        if any(parameter["in"] != "path" for parameter in operation["parameters"]):  # any text is taken in a path
            answers["422"] = problem_responses(s422="A value is not valid")[422]
    for status, answer in answers.items():
        _complete_answer(answer, call, int(status), schemas)


def _complete_answer(answer: Json, call: str, status: int, schemas: Json) -> None:
    content: Json = answer.get("content", {})
    if answer["description"] == "Successful Response":  # FastAPI's word for any
        name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        answer["description"] = DONE.get(call) or schemas[name]["description"]
    if EVENT_STREAM in content:  # FastAPI says it in words that OpenAPI has from 3.2 on
        answer["content"] = {EVENT_STREAM: {"example": EVENTS}}
    if PROBLEM_TYPE in content:
        examples = references("examples", [name for name, each in PROBLEMS.items() if each.may_stand(call, status)])
        answer["content"] = {PROBLEM_TYPE: {**content[PROBLEM_TYPE], "examples": examples}}
    answer["headers"] = references("headers", [name for name, each in HEADERS.items() if each.may_stand(call, status)])
    if status < 300 and (links := [next_call for each in NEXT_CALLS if call in each.after for next_call in each.calls]):
        answer["links"] = references("links", links)


def _webhook(event: WebhookEvent) -> Json:
    """What is posted when a job comes so far."""
    return {
        "operationId": event.value,
        "tags": ["webhooks"],
        "summary": f"The event {event.value}",
        "description": WEBHOOK_TEXT,
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, **described}
            for name, described in WEBHOOK_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="WebhookMessage")}}},
        },
        "responses": {
            "2XX": {"description": "It was taken"},
            "410": {"description": "It will never be taken, and is not sent again"},
        },
        "security": [],
    }

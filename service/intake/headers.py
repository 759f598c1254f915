"""The headers of create calls: how they are read, and how OpenAPI describes them."""

import re
from typing import Any

from fastapi import Request

from service.http.middleware import REQUEST_ID
from service.settings import Settings
from service.stores.idempotency import MAX_KEY_LENGTH

WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])", re.IGNORECASE)
PREFER_PARAMETER, _, REQUEST_ID_PARAMETER = PARAMETERS = [
    {"$ref": f"#/components/parameters/{name}"} for name in ("Prefer", "Idempotency-Key", "X-Request-ID")
]


def described(settings: Settings) -> dict[str, dict[str, Any]]:
    """What PARAMETERS refer to, by their names.

    They have no examples, which pages that try calls would fill in: a key that is used twice is refused.
    """
    prefer = {
        "description": "wait=N, as wait=30, answers 200 with the job as it ended if it does so within N "
        f"(at most {settings.max_wait_s:g}) seconds",
        "schema": {"type": "string"},
    }
    idempotency_key = {
        "description": "any text of yours, as order-17: the same key and body again answer with the first job",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[ -~]+$"},
    }
    request_id = {
        "description": "the request's id, in the answer and in logs; unset: one of ours",
        "schema": {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$"},
    }
    headers = {"Prefer": prefer, "Idempotency-Key": idempotency_key, "X-Request-ID": request_id}
    return {name: {"name": name, "in": "header", "required": False, **each} for name, each in headers.items()}


def wait_seconds(request: Request, most: float) -> float | None:
    """What `Prefer: wait=N` asks for, at most `most` seconds; None when it does not ask."""
    found = WAIT.search(",".join(request.headers.getlist("prefer")))
    return min(float(found[1]), most) if found else None

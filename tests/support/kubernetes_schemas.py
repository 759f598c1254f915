"""Objects of Kubernetes, held to its schemas and to those of KEDA and of the Prometheus operator."""

import functools
import json
from typing import Any

import jsonschema
import kubernetes_validate

from tests.support.paths import ROOT

SCHEMAS = ROOT / "tests" / "deploy" / "schemas"
VERSIONS = ("1.29", kubernetes_validate.latest_version())  # the oldest that the documents name, and the newest


def strict(schema: Any) -> Any:
    """A schema that knows no other fields than those it names, as `kubectl apply --validate=strict`."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if "properties" in schema else {}
    return closed | {name: strict(each) for name, each in schema.items()}


def check(found: dict[str, Any]) -> None:
    """Raises jsonschema.ValidationError."""
    _check(json.dumps(found, sort_keys=True))


@functools.cache  # most objects are the same in all that is built
def _check(text: str) -> None:
    found = json.loads(text)
    own = SCHEMAS / f"{found['kind']}.json"
    if own.exists():
        jsonschema.validate(found, strict(json.loads(own.read_text())))
        return
    for version in VERSIONS:
        kubernetes_validate.validate(found, version, strict=True)

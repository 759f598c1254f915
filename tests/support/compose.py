"""Compose files as `docker compose` reads them: merged, and with the variables of a shell or of .env put in."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.support.paths import ROOT

FILE = "docker-compose.yml"
OVERLAYS = ("docker/gpu.yml", "docker/s3.yml", "docker/c2pa.yml", "docker/traces.yml")
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?\}")
REPLACED = ("command", "entrypoint")  # lists of which the later one counts; others are put together


def variables(name: str) -> set[str]:
    """The variables that a file asks for."""
    return {match[1] for match in VARIABLE.finditer((ROOT / name).read_text())}


def read(*names: str, given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Files merged in this order, as `docker compose -f A -f B config` does, for all that ours have."""
    merged: Any = {}
    for name in names or (FILE,):
        merged = _merged(merged, yaml.safe_load((ROOT / name).read_text()))
    told: dict[str, Any] = _filled(merged, given or {})
    return told


def _merged(before: Any, after: Any, key: str = "") -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        return {
            name: _merged(before[name], after[name], name)
            if name in before and name in after
            else {**before, **after}[name]
            for name in (*before, *(name for name in after if name not in before))
        }
    if isinstance(before, list) and isinstance(after, list) and key not in REPLACED:
        return [*before, *(each for each in after if each not in before)]
    return after


def _filled(value: Any, given: Mapping[str, str]) -> Any:
    """A variable that is unset or empty is what stands behind `:-`, else nothing."""
    if isinstance(value, dict):
        return {name: _filled(each, given) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, given) for each in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: given.get(match[1]) or match[2] or "", value).replace("$$", "$")
    return value

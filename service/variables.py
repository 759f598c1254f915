"""The environment variables that begin with PIRENDERER_: the settings of both ends, and a few that others read."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import structlog
from pydantic import AliasChoices
from pydantic.fields import FieldInfo

from jobs.settings import FILE, GIB, MIB, PREFIX, SECRETS, SharedSettings
from service.settings import Settings

log = structlog.get_logger(__name__)

WORKER_SETTINGS = "worker.settings:WorkerSettings"  # by name, as commands are: we import no worker
OTHERS = {
    "PIRENDERER_URL": "`submit` and the Python client: the server",
    "PIRENDERER_API_KEY": "`submit` and the Python client: its API key",
    "PIRENDERER_WORKERS": "`docker compose`: how many workers",
    "PIRENDERER_API_MEMORY": "`docker compose`: memory of the API's container, as 2g",
    "PIRENDERER_WORKER_MEMORY": "`docker compose`: the same of a worker's",
    "PIRENDERER_REDIS_MEMORY": "`docker compose`: the same of Redis'",
    "PIRENDERER_FUZZ_EXAMPLES": "tests: how many forms are made up",
    "PIRENDERER_GOLDEN": "tests: folder of golden pictures",
}
TYPES = {"boolean": "true, false", "integer": "integer", "number": "number", "string": "text"}
BOUNDS = {"exclusiveMinimum": "> {}", "minimum": ">= {}", "maximum": "<= {}"}


@dataclass(frozen=True)
class Variable:
    """A setting as it stands in the table; `default` is empty where it is unset."""

    name: str
    allowed: str
    default: str
    meaning: str


def settings_by_end() -> dict[str, list[Variable]]:
    """The variables of the settings, by who reads them."""
    shared = SharedSettings.model_fields
    return {
        "API and workers": list(_variables(SharedSettings)),
        "API": list(_variables(Settings, but=shared)),
        "Workers": list(_variables(resolve_name(WORKER_SETTINGS), but=shared)),
    }


def setting_variables() -> set[str]:
    """The variables of all settings."""
    return {each.name for variables in settings_by_end().values() for each in variables}


def unknown_variables() -> dict[str, str]:
    """What is set in the environment, or as a secret, and is none of ours; in words, with the nearest that is."""
    settings = setting_variables()
    known = {*settings, *OTHERS, *(name + FILE for name in settings)}
    secrets = [path.name for path in SECRETS.iterdir()] if SECRETS.is_dir() else []
    names = {name.upper() for name in (*os.environ, *secrets)}
    return {name: _told(name, known) for name in sorted(names - known) if name.startswith(PREFIX)}


def warn_of_unknown() -> None:
    """Log what is probably misspelt, as it is ignored."""
    for text in unknown_variables().values():
        log.warning(f"{text}; it is ignored")


def _told(name: str, known: set[str]) -> str:
    nearest = difflib.get_close_matches(name.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known], n=1)
    return f"{name} is no setting" + (f" (did you mean {PREFIX}{nearest[0]}?)" if nearest else "")


def _variables(settings: type[SharedSettings], but: dict[str, FieldInfo] | None = None) -> Iterator[Variable]:
    schema = settings.model_json_schema(by_alias=False)["properties"]
    for name, field in settings.model_fields.items():
        if name not in (but or ()):
            alias = field.validation_alias
            variable = str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + name.upper()
            default = _shown(schema[name].get("default"), in_bytes=name.endswith("_bytes"))
            yield Variable(variable, _allowed(schema[name]), default, field.description or "")


def _allowed(schema: dict[str, Any]) -> str:
    schema = next(iter(schema.get("anyOf", ())), schema)  # the other is that it is unset
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema["type"] == "array":
        return f"{_allowed(schema['items'])}; comma-separated"
    kind = "path" if schema.get("format") == "path" else TYPES[schema["type"]]
    bounds = [text.format(schema[name]) for name, text in BOUNDS.items() if name in schema]
    return f"{kind} {', '.join(bounds)}".strip()


def _shown(default: Any, *, in_bytes: bool) -> str:
    match default:
        case None | [] | "":
            return ""
        case bool():
            return str(default).lower()
        case list():
            return ",".join(_shown(each, in_bytes=False) for each in default)
        case int() if in_bytes:
            unit, name = next(each for each in ((GIB, "GiB"), (MIB, "MiB"), (1024, "KiB")) if default >= each[0])
            return f"{default} ({default // unit} {name})"
        case float():
            return f"{default:g}"
    return str(default)

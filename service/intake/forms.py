"""What a create call takes: declared once, and from this its body is read, checked and described in OpenAPI.

The same fields come as JSON, as multipart/form-data or urlencoded.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from jobs.files.keys import ID
from jobs.media_types import IMAGE_TYPES, IMAGES, listed
from jobs.motion_spaces import Spaces
from jobs.problems import ProblemType
from jobs.schemas import METADATA, InputFile
from service.http.inputs import KeptPortrait
from service.http.openapi import REFERENCE
from service.http.problems import ProblemError, validation_error
from service.settings import Settings
from service.webhooks.signing import MAX_WEBHOOK_BYTES

MAX_ID_BYTES = 128
MAX_NUMBER_BYTES = 32
MAX_METADATA_BYTES = 64 * 1024
FRAMING_BYTES = 64 * 1024  # what boundaries, part headers, names and spaces may add to the fields
JSON, MULTIPART, URLENCODED = "application/json", "multipart/form-data", "application/x-www-form-urlencoded"

Schema = dict[str, Any]  # JSON Schema
Limit = Callable[[Settings], int]  # in bytes
FileCheck = Callable[[Path, Spaces], Any]
Options = TypeVar("Options", bound=BaseModel)
Value = TypeVar("Value")


@dataclass(frozen=True)
class FileField:
    """A file, recognised by its content as one of the media types `accepts`; or where it is.

    `kept_as` is the text field that may be sent instead, with the id of a file that was uploaded before.
    """

    limit: Limit
    accepts: tuple[str, ...]
    description: str
    kept_as: str | None = None

    @property
    def schema(self) -> Schema:
        """What may be sent in a form of several parts."""
        return {"type": "string", "format": "binary", "description": f"{self.description}; or its https address"}

    @property
    def as_text(self) -> Schema:
        """What may be sent where there are only texts."""
        return {"type": "string", "format": "uri", "description": f"{self.description}: an https address or a data URI"}

    @property
    def as_json(self) -> Schema:
        """The same where there are objects as well."""
        text = self.as_text
        if self.kept_as is None:
            return text
        kept = {"$ref": REFERENCE.format(model=KeptPortrait.__name__)}
        return {"oneOf": [text, kept], "description": f"{text['description']}; or one that was kept"}


@dataclass(frozen=True)
class TextField:
    """A text in UTF-8, or a number where its schema says so."""

    limit: Limit
    schema: Schema


@dataclass(frozen=True)
class DocumentField:
    """JSON that fits `model`, a schema of the OpenAPI document.

    With `check`, a long text becomes a file once that has taken it. It says what is to be known of the document, given
    the motion spaces by name, and raises ProblemError.
    """

    limit: Limit
    model: str
    check: FileCheck | None = None

    @property
    def schema(self) -> Schema:
        """What may be sent."""
        return {"$ref": REFERENCE.format(model=self.model)}


FormField = FileField | TextField | DocumentField


@dataclass
class Form:
    """What was sent: large documents among the `files`, what their checks found in `found`.

    `sizes` are width and height of those files that are images, `addresses` those of files that are still to be
    fetched. A part of a form without a byte is a field not sent, unless it is a file that has a name.
    """

    files: dict[str, InputFile] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def sent(self) -> set[str]:
        """The fields that were sent."""
        return {*self.files, *self.texts, *self.addresses}


@dataclass(frozen=True)
class Shape:
    """The fields of a create call by their names, and which of them go together. `name` is what it makes.

    Of each group in `exactly_one` one field is to be sent and no more, of `at_least_one` one or more. Of each pair in
    `apart` only one, and in `needs` the first only with the second. `examples` are whole bodies in JSON.
    """

    name: str
    fields: Mapping[str, FormField]
    exactly_one: tuple[tuple[str, ...], ...] = ()
    at_least_one: tuple[str, ...] = ()
    apart: tuple[tuple[str, str], ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    examples: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def kept(self) -> set[str]:
        """The fields that name a file which was uploaded before; in JSON the file's own field does."""
        return {each.kept_as for each in self.fields.values() if isinstance(each, FileField) and each.kept_as}

    def check(self, form: Form) -> None:
        """Raise ProblemError (422) unless the fields that were sent go together."""
        sent = form.sent
        for group in self.exactly_one:
            named = [name for name in group if name not in self.kept]
            if len(named) == 1 and sent.isdisjoint(group):
                raise ProblemError(ProblemType.INVALID_REQUEST, f"field {named[0]!r} is missing", allowed=named)
            _check_count(group, sent, most=1)
        if self.at_least_one:
            _check_count(self.at_least_one, sent, most=len(self.at_least_one))
        for pair in self.apart:
            if sent.issuperset(pair):
                _check_count(pair, sent, most=1)
        for name, other in self.needs:
            if name in sent and other not in sent:
                raise ProblemError(
                    ProblemType.INVALID_REQUEST, f"{name} was sent without {other}", got=[name], allowed=[name, other]
                )

    def body(self) -> Schema:
        """The request body in OpenAPI."""
        encoding = {
            name: {"contentType": JSON} for name, each in self.fields.items() if isinstance(each, DocumentField)
        }
        whole = {name: each.schema for name, each in self.fields.items()}
        files = {name: each for name, each in self.fields.items() if isinstance(each, FileField)}
        in_json = whole | {name: each.as_json for name, each in files.items()}
        return {
            "required": True,
            "content": {
                JSON: {
                    "schema": self._schema(
                        "Request", {name: each for name, each in in_json.items() if name not in self.kept}
                    ),
                    "examples": {name: {"summary": name, "value": body} for name, body in self.examples.items()},
                },
                MULTIPART: {"schema": self._schema("Form", whole), "encoding": encoding},
                URLENCODED: {
                    "schema": self._schema("Fields", whole | {name: each.as_text for name, each in files.items()}),
                    "encoding": encoding,
                },
            },
        }

    def _schema(self, kind: str, properties: Mapping[str, Schema]) -> Schema:
        """What is wrong to send together stands in one `not`, which says nothing of types: generators pass it over."""
        schema: Schema = {
            "title": f"{self.name}{kind}",
            "type": "object",
            "properties": dict(properties),
            "additionalProperties": False,
        }
        groups = [[name for name in group if name in properties] for group in self.exactly_one]
        if needed := [group[0] for group in groups if len(group) == 1]:
            schema["required"] = needed
        choices = [group for group in groups if len(group) > 1]
        wrong = [_with([], without=group) for group in (*choices, self.at_least_one) if group]
        wrong += [_with(pair) for pair in (*self.apart, *chain(*(combinations(each, 2) for each in choices)))]
        wrong += [_with([name], without=[other]) for name, other in self.needs]
        if wrong:
            schema["not"] = {"anyOf": wrong}
        return schema


def _with(names: Sequence[str], *, without: Iterable[str] = ()) -> Schema:
    """Fits what has all of some fields and none of others."""
    has: Schema = {"required": list(names)} if names else {}
    return {"properties": dict.fromkeys(names, ANYTHING) | dict.fromkeys(without, NOTHING), **has}


def _check_count(names: Sequence[str], sent: Set[str], *, most: int) -> None:
    got = [name for name in names if name in sent]
    if 1 <= len(got) <= most:
        return
    wanted = f"{'exactly' if most == 1 else 'at least'} one of {', '.join(names)}"
    detail = f"{wanted} is needed, got {', '.join(got) or 'none'}"
    raise ProblemError(ProblemType.INVALID_REQUEST, detail, got=got, allowed=list(names))


ANYTHING: Schema = {}
NOTHING: Schema = {"not": {}}  # generators do not know `false`
PHOTO = FileField(lambda settings: settings.max_portrait_bytes, IMAGE_TYPES, f"the photo: {listed(IMAGES)}")
PORTRAIT: Mapping[str, FormField] = {
    "portrait": replace(PHOTO, kept_as="portrait_id"),
    "portrait_id": TextField(
        lambda _: MAX_ID_BYTES,
        {
            "type": "string",
            "pattern": f"^{ID.pattern}$",
            "description": "instead of portrait, the id of one uploaded before",
        },
    ),
}
ONE_PORTRAIT = tuple(PORTRAIT)

DEADLINE: TypeAdapter[float] = TypeAdapter(
    Annotated[
        float,
        Field(
            strict=True,
            ge=1,
            le=86_400,
            allow_inf_nan=False,
            description="a job that has not begun after so many seconds fails",
        ),
    ]
)
TERMS: Mapping[str, FormField] = {
    "webhook": DocumentField(lambda _: MAX_WEBHOOK_BYTES, "Webhook"),
    "deadline": TextField(lambda _: MAX_NUMBER_BYTES, DEADLINE.json_schema()),
    "metadata": DocumentField(lambda _: MAX_METADATA_BYTES, "Metadata"),
}


def options_field(schema: type[BaseModel]) -> DocumentField:
    """The field `options`, which holds what `schema` says."""
    return DocumentField(lambda settings: settings.max_options_bytes, schema.__name__)


def parse_options(form: Form, schema: type[Options]) -> Options:
    """The `options` field, or the defaults. Raises ProblemError (400 not JSON, 422 not valid)."""
    try:
        return schema.model_validate_json(form.texts.get("options", "{}"))
    except ValidationError as error:
        allowed = list(schema.model_fields)
        raise validation_error(ProblemType.INVALID_OPTIONS, error, where="options", allowed=allowed) from error


def parse_deadline(form: Form) -> float | None:
    """The `deadline` field, in seconds. Raises ProblemError (400 not JSON, 422 not valid)."""
    return _parsed(form, "deadline", DEADLINE)


def parse_metadata(form: Form) -> dict[str, str]:
    """The `metadata` field. Raises ProblemError (400 not JSON, 422 not valid)."""
    return _parsed(form, "metadata", METADATA) or {}


def _parsed(form: Form, name: str, schema: TypeAdapter[Value]) -> Value | None:
    text = form.texts.get(name)
    if text is None:
        return None
    try:
        return schema.validate_json(text)
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_REQUEST, error, where=name) from error

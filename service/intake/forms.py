"""What the form of a create call holds: declared once, and from this read, checked and described in OpenAPI."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from jobs.files.keys import ID
from jobs.media_types import IMAGE_TYPES, IMAGES, listed
from jobs.motion_spaces import Spaces
from jobs.problems import ProblemType
from jobs.schemas import InputFile
from service.http.openapi import REFERENCE
from service.http.problems import ProblemError, validation_error
from service.settings import Settings
from service.webhooks.signing import MAX_WEBHOOK_BYTES

MAX_ID_BYTES = 128
MAX_NUMBER_BYTES = 32

Schema = dict[str, Any]  # JSON Schema
Limit = Callable[[Settings], int]  # in bytes
FileCheck = Callable[[Path, Spaces], int]
Options = TypeVar("Options", bound=BaseModel)


@dataclass(frozen=True)
class FileField:
    """A file, recognised by its content as one of the media types `accepts`."""

    limit: Limit
    accepts: tuple[str, ...]
    description: str

    @property
    def schema(self) -> Schema:
        """What may be sent."""
        return {"type": "string", "format": "binary", "description": self.description}


@dataclass(frozen=True)
class TextField:
    """A text in UTF-8. Where it names a file that was uploaded before, it may be sent `instead_of` that one."""

    limit: Limit
    schema: Schema
    instead_of: str | None = None


@dataclass(frozen=True)
class DocumentField:
    """JSON that fits `model`, a schema of the OpenAPI document.

    With `check`, a long text becomes a file once that has taken it. It says how many items the document has, given
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
Choice = str | tuple[str, ...]


@dataclass
class Form:
    """What was sent: large documents among the `files`, how many items each has in `counts`.

    `sizes` are width and height of those files that are images. A part without a byte is a field not sent, unless it
    is a file that has a name.
    """

    files: dict[str, InputFile] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Shape:
    """The fields of a form by their names. Of each group in `exactly_one` one choice is to be sent, and no more.

    A choice is a field, or several of which any may come. A group of one choice is a field that is needed. Where a
    field may be sent instead of another, it counts as that one.
    """

    fields: Mapping[str, FormField]
    exactly_one: tuple[tuple[Choice, ...], ...]

    def check(self, form: Form) -> None:
        """Raise ProblemError (422) unless one choice of each group was sent."""
        sent = {*form.files, *form.texts}
        for stand_in, name in self._stand_ins():
            if stand_in in sent:
                if name in sent:
                    raise _not_one([name, stand_in], got=[name, stand_in], said="both")
                sent.add(name)
        for group in self.exactly_one:
            choices = [(choice,) if isinstance(choice, str) else choice for choice in group]
            allowed = [" and/or ".join(choice) for choice in choices]
            got = [name for choice in choices for name in choice if name in sent]
            if len(choices) == 1 and not got:
                raise ProblemError(
                    ProblemType.INVALID_REQUEST, f"form field {allowed[0]!r} is missing", allowed=allowed
                )
            if sum(not sent.isdisjoint(choice) for choice in choices) != 1:
                raise _not_one(allowed, got=got, said=", ".join(got) or "none")

    def body(self) -> Schema:
        """The request body in OpenAPI."""
        encoding = {
            name: {"contentType": "application/json"}
            for name, each in self.fields.items()
            if isinstance(each, DocumentField)
        }
        return {
            "required": True,
            "content": {"multipart/form-data": {"schema": self._schema(), "encoding": encoding}},
        }

    def _schema(self) -> Schema:
        schema: Schema = {
            "type": "object",
            "properties": {name: each.schema for name, each in self.fields.items()},
            "additionalProperties": False,
        }
        groups = [
            (*group, *(stand_in for stand_in, name in self._stand_ins() if name in group)) for group in self.exactly_one
        ]
        if needed := [group[0] for group in groups if len(group) == 1]:
            schema["required"] = needed
        if choices := [{"oneOf": [_required(choice) for choice in group]} for group in groups if len(group) > 1]:
            schema["allOf"] = choices
        return schema

    def _stand_ins(self) -> Iterator[tuple[str, str]]:
        """The fields that may be sent instead of another, each with that other."""
        for name, each in self.fields.items():
            if isinstance(each, TextField) and each.instead_of is not None:
                yield name, each.instead_of


def _required(choice: Choice) -> Schema:
    return {"required": [choice]} if isinstance(choice, str) else {"anyOf": [_required(name) for name in choice]}


def _not_one(allowed: list[str], *, got: list[str], said: str) -> ProblemError:
    detail = f"exactly one of {', '.join(allowed)} is needed, got {said}"
    return ProblemError(ProblemType.INVALID_REQUEST, detail, got=got, allowed=allowed)


PHOTO = FileField(lambda settings: settings.max_portrait_bytes, IMAGE_TYPES, f"the photo: {listed(IMAGES)}")
PORTRAIT: Mapping[str, FormField] = {
    "portrait": PHOTO,
    "portrait_id": TextField(
        lambda _: MAX_ID_BYTES,
        {
            "type": "string",
            "description": "instead of portrait, the id of one uploaded before",
            "pattern": f"^{ID.pattern}$",
        },
        instead_of="portrait",
    ),
}

DEADLINE: TypeAdapter[float] = TypeAdapter(
    Annotated[
        float,
        Field(ge=1, le=86_400, allow_inf_nan=False, description="a job that has not begun after so long fails"),
    ]
)
TERMS: Mapping[str, FormField] = {
    "webhook": DocumentField(lambda _: MAX_WEBHOOK_BYTES, "Webhook"),
    "deadline": TextField(lambda _: MAX_NUMBER_BYTES, DEADLINE.json_schema()),
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
    text = form.texts.get("deadline")
    if text is None:
        return None
    try:
        return DEADLINE.validate_json(text)
    except ValidationError as error:
        raise validation_error(ProblemType.INVALID_REQUEST, error, where="deadline") from error

"""JSON documents as clients write them: what all have in common, and how one is read."""

import codecs
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator
from pydantic_core import from_json

MAX_FIELDS = 32  # more than any document has
MAX_ERRORS = 10  # of a document that are told of at once

T = TypeVar("T")


class InvalidJsonError(ValueError):
    """A text is not JSON; says where and why."""


class Document(BaseModel):
    """An object with the fields that it declares and no others.

    Each wrong field is an error of its own, so an object of very many is refused as a whole. For the same reason lists
    and dictionaries in documents end at their first error (`fail_fast`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _has_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise ValueError(f"{len(value)} fields are too many; allowed are {', '.join(cls.model_fields)}")
        return value


def read_document(schema: TypeAdapter[T], text: bytes) -> T:
    """Read a JSON text, which may begin with a byte order mark. Raises InvalidJsonError, pydantic.ValidationError.

    It is parsed into Python's lists and numbers first, which pydantic then keeps. By itself it would parse it into a
    tree of its own, and copy that twice: to choose the form of a motion, and into the result.
    """
    try:
        value = from_json(text.removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise InvalidJsonError(f"Invalid JSON: {error}") from error
    return schema.validate_python(value)

"""What a form may hold: the check and the document are made of one declaration, and must agree."""

from itertools import chain, combinations
from typing import Any

import pytest
from pydantic import TypeAdapter

from jobs import schemas
from jobs.schemas import InputFile
from service.http.problems import ProblemError
from service.intake.forms import JSON, MULTIPART, NOTHING, URLENCODED, DocumentField, FileField, Form, Shape
from service.routes import images, motions, portraits, videos

FILE = InputFile(key="x/file", media_type="image/jpeg", bytes=1, sha256="0" * 64)


def form_of(shape: Shape, sent: set[str]) -> Form:
    files = {name for name in sent if isinstance(shape.fields[name], FileField)}
    return Form(files=dict.fromkeys(files, FILE), texts=dict.fromkeys(sent - files, "{}"))


def fits(schema: dict[str, Any], sent: set[str]) -> bool:
    """Whether the fields sent are those that a schema needs."""
    return (
        sent.issuperset(schema.get("required", ()))
        and not any(each == NOTHING and name in sent for name, each in schema.get("properties", {}).items())
        and ("anyOf" not in schema or any(fits(each, sent) for each in schema["anyOf"]))
        and ("not" not in schema or not fits(schema["not"], sent))
    )


@pytest.mark.parametrize("form", [JSON, MULTIPART, URLENCODED])
@pytest.mark.parametrize("shape", [images.FORM, videos.FORM, motions.FORM, portraits.FORM])
def test_a_form_is_taken_if_and_only_if_it_fits_the_document(shape: Shape, form: str) -> None:
    schema = shape.body()["content"][form]["schema"]
    fields = [name for name in shape.fields if form != JSON or name not in shape.kept]
    assert list(schema["properties"]) == fields
    taken = 0
    for names in chain.from_iterable(combinations(fields, count) for count in range(len(fields) + 1)):
        sent = set(names)
        if fits(schema, sent):
            shape.check(form_of(shape, sent))
            taken += 1
        else:
            with pytest.raises(ProblemError):
                shape.check(form_of(shape, sent))
    assert taken > 0


@pytest.mark.parametrize("shape", [images.FORM, videos.FORM, motions.FORM, portraits.FORM])
def test_the_examples_are_what_may_be_sent(shape: Shape) -> None:
    assert shape.examples
    for name, body in shape.examples.items():
        assert fits(shape.body()["content"][JSON]["schema"], set(body)), name
        for field, value in body.items():
            declared = shape.fields[field]
            if isinstance(declared, DocumentField):
                TypeAdapter(getattr(schemas, declared.model)).validate_python(value)


@pytest.mark.parametrize(
    ("shape", "sent", "detail", "allowed"),
    [
        (images.FORM, {"motion"}, "field 'portrait' is missing", ["portrait"]),
        (motions.FORM, {"options"}, "field 'source' is missing", ["source"]),
        (
            videos.FORM,
            {"portrait", "portrait_id", "audio"},
            "exactly one of portrait, portrait_id is needed, got portrait, portrait_id",
            ["portrait", "portrait_id"],
        ),
        (
            videos.FORM,
            {"portrait_id"},
            "at least one of motion, audio, text, driving is needed, got none",
            ["motion", "audio", "text", "driving"],
        ),
        (
            videos.FORM,
            {"portrait", "audio", "text"},
            "exactly one of audio, text is needed, got audio, text",
            ["audio", "text"],
        ),
        (videos.FORM, {"portrait", "audio", "voice"}, "voice was sent without text", ["voice", "text"]),
        (
            images.FORM,
            {"portrait_id"},
            "exactly one of motion, motions, driving is needed, got none",
            ["motion", "motions", "driving"],
        ),
    ],
)
def test_what_is_missing_or_too_much_is_named(shape: Shape, sent: set[str], detail: str, allowed: list[str]) -> None:
    with pytest.raises(ProblemError) as refused:
        shape.check(form_of(shape, sent))
    assert str(refused.value) == detail
    assert refused.value.problem.allowed == allowed

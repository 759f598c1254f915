"""What a form may hold: the check and the document are made of one declaration, and must agree."""

from itertools import chain, combinations
from typing import Any

import pytest

from jobs.schemas import InputFile
from service.http.problems import ProblemError
from service.intake.forms import FileField, Form, Shape
from service.routes import images, motions, portraits, videos

FILE = InputFile(key="x/file", media_type="image/jpeg", bytes=1, sha256="0" * 64)


def form_of(shape: Shape, sent: set[str]) -> Form:
    files = {name for name in sent if isinstance(shape.fields[name], FileField)}
    return Form(files=dict.fromkeys(files, FILE), texts=dict.fromkeys(sent - files, "{}"))


def fits(schema: dict[str, Any], sent: set[str]) -> bool:
    """Whether the fields sent are those that a schema needs."""
    return (
        sent.issuperset(schema.get("required", ()))
        and all(fits(each, sent) for each in schema.get("allOf", ()))
        and ("anyOf" not in schema or any(fits(each, sent) for each in schema["anyOf"]))
        and ("oneOf" not in schema or sum(fits(each, sent) for each in schema["oneOf"]) == 1)
    )


@pytest.mark.parametrize("shape", [images.FORM, videos.FORM, motions.FORM, portraits.FORM])
def test_a_form_is_taken_if_and_only_if_it_fits_the_document(shape: Shape) -> None:
    schema = shape.body()["content"]["multipart/form-data"]["schema"]
    assert list(schema["properties"]) == list(shape.fields)
    taken = 0
    for names in chain.from_iterable(combinations(shape.fields, count) for count in range(len(shape.fields) + 1)):
        sent = set(names)
        if fits(schema, sent):
            shape.check(form_of(shape, sent))
            taken += 1
        else:
            with pytest.raises(ProblemError):
                shape.check(form_of(shape, sent))
    assert taken > 0


@pytest.mark.parametrize(
    ("shape", "sent", "detail", "allowed"),
    [
        (images.FORM, {"motion"}, "form field 'portrait' is missing", ["portrait"]),
        (motions.FORM, {"options"}, "form field 'source' is missing", ["source"]),
        (
            videos.FORM,
            {"portrait", "portrait_id", "audio"},
            "exactly one of portrait, portrait_id is needed, got both",
            ["portrait", "portrait_id"],
        ),
        (
            videos.FORM,
            {"portrait_id", "motion", "driving"},
            "exactly one of motion, audio and/or driving is needed, got motion, driving",
            ["motion", "audio and/or driving"],
        ),
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

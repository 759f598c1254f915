"""Fields as their bytes come in: texts are kept, files and long documents go into drafts, addresses are noted."""

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs import problems
from jobs.files.artifacts import ArtifactStore, ArtifactTooLargeError, Draft
from jobs.media_types import HEAD_BYTES, SUFFIXES
from jobs.problems import ProblemType
from service.context import Context
from service.http.problems import ProblemError
from service.intake.data_uris import PREFIX, DataUri
from service.intake.filetypes import accept
from service.intake.forms import FRAMING_BYTES, DocumentField, FileField, Form, FormField, Shape, TextField
from service.outbound.fetching import checked_address

INLINE_BYTES = 16 * 1024  # a larger document is a file: neither this process nor Redis shall hold many of them
ADDRESS_PREFIXES = (b"https:", b"http:")


@dataclass(frozen=True)
class Received:
    """A file that has come whole."""

    name: str
    field: FileField | DocumentField
    media_type: str
    draft: Draft


class FieldReader:
    """Collects one field after another into `form`. It waits for nothing; `received` has to be stored by whoever can.

    What it raises: ProblemError, ArtifactTooLargeError, OSError.
    """

    def __init__(self, context: Context, shape: Shape, job_id: str, form: Form | None = None) -> None:
        self.form = form or Form()
        self.name = ""
        self.received: list[Received] = []
        self.limits = {name: field.limit(context.settings) for name, field in shape.fields.items()}
        self._fields: Mapping[str, FormField] = shape.fields
        self._settings = context.settings
        self._artifacts: ArtifactStore = context.artifacts
        self._job_id = job_id
        self._names: set[str] = set()
        self._as_bytes = self._as_text = False
        self._buffer = bytearray()  # a text, or the head of a file not yet recognised
        self._uri: DataUri | None = None
        self._media_type = ""
        self._draft: Draft | None = None

    @property
    def most_text(self) -> int:
        """How many bytes all fields together may have that are no files, with what stands around them."""
        texts = (self.limits[name] for name, field in self._fields.items() if not isinstance(field, FileField))
        return sum(texts) + FRAMING_BYTES

    def begin(self, name: str, *, as_bytes: bool = False, as_text: bool = False) -> FormField:
        """The field that is read from now on. A file may come `as_bytes` alone, or `as_text`: a data URI or an address.

        Else its beginning tells.
        """
        self.name, self._as_bytes, self._as_text = name, as_bytes, as_text
        if name not in self._fields:
            raise unknown_field(name, self._fields)
        if name in self._names:
            raise ProblemError(ProblemType.INVALID_REQUEST, f"field {name!r} was sent twice", got=name)
        self._names.add(name)
        self._buffer.clear()
        self._uri = None
        return self._fields[name]

    def write(self, data: bytes) -> None:
        """Take the field's next bytes."""
        expected = self._fields[self.name]
        if self._uri is not None:
            data = self._uri.feed(data)
        elif isinstance(expected, FileField) and self._draft is None and not self._as_bytes:
            self._buffer += data
            data = b""
            if self._buffer[: len(PREFIX)].lower() == PREFIX:
                self._uri = DataUri(self.name)
                data = self._uri.feed(bytes(self._buffer))
                self._buffer.clear()
        self._take(expected, data)

    def end(self) -> None:
        """The field has come whole."""
        expected = self._fields[self.name]
        if self._uri is not None:
            self._take(expected, self._uri.finish())
        if isinstance(expected, FileField) and self._draft is None:
            if self._is_address():
                self.form.addresses[self.name] = self._address(self._buffer.decode(errors="replace"))
                return
            if self._buffer or self._as_bytes or self._uri is not None:
                self._open_recognised(expected)
        if self._draft is not None:
            assert not isinstance(expected, TextField)  # noqa: S101 - which have no drafts
            self._draft.close()
            self.received.append(Received(self.name, expected, self._media_type, self._draft))
            self._draft = None
        elif self._buffer:
            try:
                self.form.texts[self.name] = self._buffer.removeprefix(codecs.BOM_UTF8).decode("utf-8")
            except UnicodeDecodeError as error:
                raise ProblemError(ProblemType.BAD_REQUEST, f"{self.name} is not UTF-8 text: {error.reason}") from error

    def close(self) -> None:
        """Drop what was not stored."""
        for draft in (self._draft, *(file.draft for file in self.received)):
            if draft is not None:
                draft.discard()

    def _is_address(self) -> bool:
        if self._uri is not None or self._as_bytes:
            return False
        return self._as_text or bytes(self._buffer[:8]).lower().startswith(ADDRESS_PREFIXES)

    def _address(self, text: str) -> str:
        try:
            address = checked_address(self.name, text, private=self._settings.fetch_private)
        except problems.ProblemError as error:
            more = ", a file or a data URI"
            raise ProblemError(
                error.problem_type, error.detail + more, got=error.got, allowed=f"{error.allowed}{more}"
            ) from error
        if not self._settings.fetch:
            detail = f"{self.name} is an address; here nothing is fetched, allowed are the file itself or a data URI"
            raise ProblemError(ProblemType.INVALID_ADDRESS, detail, got=address, allowed="a file or a data URI")
        return address

    def _take(self, expected: FormField, data: bytes) -> None:
        if self._draft is not None:
            self._draft.write(data)
            return
        self._buffer += data
        if isinstance(expected, FileField):
            if len(self._buffer) >= HEAD_BYTES and not (self._as_text and self._uri is None):
                self._open_recognised(expected)
        elif len(self._buffer) > self.limits[self.name]:
            raise ArtifactTooLargeError(self.name, self.limits[self.name])
        elif isinstance(expected, DocumentField) and expected.check and len(self._buffer) > INLINE_BYTES:
            self._open("application/json", "json")

    def _open_recognised(self, expected: FileField) -> None:
        media_type = accept(self.name, bytes(self._buffer[:HEAD_BYTES]), expected.accepts)
        self._open(media_type, SUFFIXES[media_type])

    def _open(self, media_type: str, suffix: str) -> None:
        self._media_type = media_type
        self._draft = self._artifacts.draft(self._job_id, f"{self.name}.{suffix}", limit=self.limits[self.name])
        self._draft.write(bytes(self._buffer))
        self._buffer.clear()


def unknown_field(name: str, allowed: Iterable[str]) -> ProblemError:
    """The refusal of a field that there is not."""
    names = list(allowed)
    detail = f"unknown field {name[:100]!r}; allowed are {', '.join(names)}"
    return ProblemError(ProblemType.INVALID_REQUEST, detail, got=name, allowed=names)

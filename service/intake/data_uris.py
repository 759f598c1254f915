"""Files inside a text: `data:` and their bytes in base64 (RFC 2397)."""

import binascii

from jobs.problems import ProblemType
from service.http.problems import ProblemError

PREFIX = b"data:"
MAX_TYPE_BYTES = 512  # before the comma


class DataUri:
    """Decodes a data URI as it comes in. What it says of its media type is nothing to us: files are recognised."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._held = bytearray()
        self._begun = False

    def feed(self, text: bytes) -> bytes:
        """The bytes that are known by now and were not before. Raises ProblemError: it is no such URI."""
        self._held += text
        if not self._begun:
            self._begin()
        whole = len(self._held) // 4 * 4 if self._begun else 0
        whole = max(0, whole - 4)  # the last four may be padded
        ready, self._held = self._held[:whole], self._held[whole:]
        return self._decoded(bytes(ready))

    def finish(self) -> bytes:
        """What is left at its end. Raises ProblemError."""
        if not self._begun:
            raise self._wrong(bytes(self._held[:MAX_TYPE_BYTES]).decode(errors="replace"))
        return self._decoded(bytes(self._held) + b"=" * (-len(self._held) % 4))  # padding may be left out

    def _begin(self) -> None:
        comma = self._held.find(b",")
        head = bytes(self._held[: MAX_TYPE_BYTES if comma < 0 else comma])
        if comma < 0 and len(self._held) < MAX_TYPE_BYTES:
            return
        if comma < 0 or not head.lower().endswith(b";base64"):
            raise self._wrong(head.decode(errors="replace"))
        del self._held[: comma + 1]
        self._begun = True

    def _decoded(self, text: bytes) -> bytes:
        try:
            return binascii.a2b_base64(text, strict_mode=True) if text else b""
        except binascii.Error as error:
            raise ProblemError(
                ProblemType.UNREADABLE_MEDIA, f"{self._name} is a data URI that is not base64: {error}"
            ) from error

    def _wrong(self, got: str) -> ProblemError:
        allowed = "data:TYPE;base64,DATA"
        detail = f"{self._name} is a data URI that begins {got[:100]!r}; allowed is {allowed}"
        return ProblemError(ProblemType.INVALID_ADDRESS, detail, got=got[:100], allowed=allowed)

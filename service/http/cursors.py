"""Cursors of lists: a creation number to us, nothing to clients.

The number counts what all owners make, so it is sealed: encrypted and authenticated, for its owner alone, with a
synthetic initialization vector (Rogaway and Shrimpton, "Deterministic authenticated encryption", EUROCRYPT 2006) made
of HMAC-SHA256.
"""

import base64
import hmac

from jobs.problems import ProblemType
from service.http.problems import ProblemError
from service.secret import ServiceSecret

NUMBER_BYTES = 8
SEAL_BYTES = 16


class Cursors:
    """Seals and opens cursors, the same at every front-end and after every restart."""

    def __init__(self, secret: ServiceSecret) -> None:
        self._secret = secret

    def seal(self, owner: str, before: int | None) -> str | None:
        """The cursor that asks for what `owner` made before number `before`; None at the end."""
        if before is None:
            return None
        number = before.to_bytes(NUMBER_BYTES, "big")
        seal = self._seal(owner, number)
        return base64.urlsafe_b64encode(seal + self._masked(number, seal)).decode()

    def open(self, owner: str, cursor: str | None) -> int | None:
        """The number a cursor of the owner's stands for; None for no cursor. Raises ProblemError (400)."""
        if not cursor:
            return None
        try:
            sealed = base64.b64decode(cursor, altchars="-_", validate=True)
        except ValueError:
            sealed = b""
        seal, masked = sealed[:SEAL_BYTES], sealed[SEAL_BYTES:]
        number = self._masked(masked, seal)
        if len(masked) != NUMBER_BYTES or not hmac.compare_digest(seal, self._seal(owner, number)):
            raise ProblemError(ProblemType.BAD_REQUEST, f"cursor {cursor!r} is not a next_cursor of yours", got=cursor)
        return int.from_bytes(number, "big")

    def _seal(self, owner: str, number: bytes) -> bytes:
        return hmac.digest(self._secret.derive(f"cursor seals:{owner}"), number, "sha256")[:SEAL_BYTES]

    def _masked(self, number: bytes, seal: bytes) -> bytes:
        mask = hmac.digest(self._secret.derive("cursor masks"), seal, "sha256")
        return bytes(byte ^ cover for byte, cover in zip(number, mask, strict=False))

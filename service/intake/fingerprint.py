"""Whether two requests are the same."""

import hashlib
import json
from typing import Any

from jobs.schemas import JobKind
from service.intake.forms import Form


def fingerprint(kind: JobKind, form: Form) -> str:
    """Says whether two requests are the same: kind, texts, addresses and the hashes of the files; not names or
    boundaries."""
    parts: dict[str, Any] = {
        "kind": kind.value,
        "files": {name: file.sha256 for name, file in form.files.items()},
        "texts": form.texts,
    }
    if form.addresses:  # without, it is what versions before made of the same request
        parts["addresses"] = form.addresses
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

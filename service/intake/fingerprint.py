"""Whether two requests are the same."""

import hashlib
import json

from jobs.schemas import JobKind
from service.intake.forms import Form


def fingerprint(kind: JobKind, form: Form) -> str:
    """Says whether two requests are the same: kind, texts, addresses and the hashes of the files; not names or
    boundaries."""
    parts = {
        "kind": kind.value,
        "files": {name: file.sha256 for name, file in form.files.items()},
        "texts": form.texts,
        "addresses": form.addresses,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

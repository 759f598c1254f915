"""Whether two requests are the same, also across versions: clients repeat what they sent while it was renewed."""

import hashlib
import json

from jobs.schemas import InputFile, JobKind
from service.intake.fingerprint import fingerprint
from service.intake.forms import Form

FILE = InputFile(key="a/portrait.jpg", media_type="image/jpeg", bytes=3, sha256="b" * 64)


def test_what_has_no_addresses_is_what_it_was_before_there_were_any() -> None:
    form = Form(files={"portrait": FILE}, texts={"motion": "{}"})
    then = {"kind": "image", "files": {"portrait": "b" * 64}, "texts": {"motion": "{}"}}
    assert fingerprint(JobKind.IMAGE, form) == hashlib.sha256(json.dumps(then, sort_keys=True).encode()).hexdigest()


def test_addresses_count() -> None:
    forms = [Form(addresses={"portrait": address}) for address in ("https://a.example", "https://b.example")]
    assert len({fingerprint(JobKind.IMAGE, form) for form in (Form(), *forms)}) == 3

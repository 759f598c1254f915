"""What the documents show, to be run."""

import re
import textwrap

from tests.support.paths import ROOT


def example(document: str, start: str, end: str) -> str:
    """The code that stands between two texts of a document."""
    part = (ROOT / document).read_text().partition(start)[2].partition(end)[0]
    return textwrap.dedent("\n".join(re.findall(r"(?m)^(?:    .*)?$", part))).strip()

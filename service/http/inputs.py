"""What a file of a create call may be in JSON beside a text."""

from typing import Annotated

from pydantic import Field

from jobs.documents import Document


class KeptPortrait(Document):
    """A portrait that was uploaded before, in place of its file."""

    id: Annotated[str, Field(max_length=128, description="The portrait's id")]

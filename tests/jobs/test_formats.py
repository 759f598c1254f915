from typing import get_args

import pytest

from jobs.formats import FORMATS, ImageFormat, VideoFormat


@pytest.mark.parametrize(("kind", "names"), [("image", get_args(ImageFormat)), ("video", get_args(VideoFormat))])
def test_what_options_name_are_the_formats_of_that_kind(kind: str, names: tuple[str, ...]) -> None:
    assert tuple(each.name for each in FORMATS.values() if each.kind == kind) == names

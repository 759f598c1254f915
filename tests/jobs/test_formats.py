from typing import get_args

from jobs.formats import BY_SUFFIX, IMAGE_FORMATS, RENDERED, RESULT_TYPES, VIDEO_FORMATS, ImageFormat, VideoFormat


def test_what_options_name_are_the_formats_of_that_kind() -> None:
    assert tuple(IMAGE_FORMATS) == get_args(ImageFormat)
    assert tuple(VIDEO_FORMATS) == get_args(VideoFormat)


def test_a_suffix_tells_the_format_of_its_kind() -> None:
    assert BY_SUFFIX["image"] == {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
    assert BY_SUFFIX["video"] == {".mp4": "mp4", ".webm": "webm", ".gif": "gif", ".webp": "webp"}
    assert RENDERED == (".png", ".jpg", ".jpeg", ".webp", ".mp4", ".webm", ".gif")


def test_a_media_type_is_told_once() -> None:
    assert len(RESULT_TYPES) == len(set(RESULT_TYPES)) == len(IMAGE_FORMATS) + len(VIDEO_FORMATS) - 1 + 2

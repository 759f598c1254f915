"""Ids of jobs and portraits, and the keys of their files."""

import re
import secrets

ID = re.compile(r"[0-9a-f]{32}")

NAME = re.compile(r"[a-z][a-z0-9-]{0,40}(\.[a-z0-9]{1,8})?")


def new_id() -> str:
    """128 random bits: an id that cannot be guessed and is safe in a path and a URL."""
    return secrets.token_hex(16)


def split_key(key: str) -> tuple[str, str]:
    """Id of the folder, and name, of an artifact. Raises ValueError for a key that is not one of ours."""
    folder_id, _, name = key.partition("/")
    if not NAME.fullmatch(name):
        raise ValueError(f"artifact name {name!r} must match {NAME.pattern}")
    return checked_id(folder_id), name


def checked_id(text: str) -> str:
    """The id, if it is one. Raises ValueError."""
    if not ID.fullmatch(text):
        raise ValueError(f"id {text!r} must be 32 hexadecimal digits")
    return text

"""The package's version."""

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The installed version, or 0 when run from a tree that was never installed."""
    try:
        return version("pirenderer")
    except PackageNotFoundError:
        return "0"

"""What the documents name exists: files, pages, commands, modules."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageSequence
from pydantic import BaseModel

from jobs.schemas import ImageOptions, MotionOptions, VideoOptions
from service.cli import COMMANDS
from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").glob("*/README.md")])
FOLDERS = "jobs|service|worker|model|clients|tests|docs|docker|deploy|benchmarks|requirements"
NAMES = {path.name for folder in FOLDERS.split("|") for path in (ROOT / folder).rglob("*.*")}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def headings(page: Path) -> set[str]:
    """What links name them by, as GitHub does."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    code = "\n".join(re.findall(r"`[^`\n]+`|(?m:^    .*$)", page.read_text()))
    paths = re.findall(rf"(?<![\w./:-])(?:{FOLDERS})/[\w./-]*\w", code)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    names = re.findall(r"`([\w-]+\.(?:py|toml|yml))`", code)
    assert [name for name in names if name not in NAMES and not (ROOT / name).exists()] == []


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not heading or heading in headings(linked), target


@pages
def test_commands_that_are_named_exist(page: Path) -> None:
    lines = [line for line in page.read_text().splitlines() if line.startswith("    ")]
    for line in lines:
        for command in re.findall(r"(?:\./|bin/|^ +)pirenderer ([a-z]\w*)", line):
            assert command in COMMANDS, line
        for module in re.findall(r"python -m ([\w.]+)", line):
            assert any((ROOT / module.replace(".", "/")).with_suffix(end).exists() for end in ("", ".py")), line


@pytest.mark.slow
def test_the_clip_of_the_page_is_short_and_light() -> None:
    clip = ROOT / "docs/images/live.webp"
    with Image.open(clip) as image:
        seconds = sum(frame.copy().info["duration"] for frame in ImageSequence.Iterator(image)) / 1000
    assert 5 <= seconds <= 8
    assert clip.stat().st_size < 3e6


@pytest.mark.slow
def test_the_pictures_of_the_page_can_be_taken_anew() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.page", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--clip" in done.stdout


@pytest.mark.parametrize("options", [ImageOptions, VideoOptions, MotionOptions])
def test_every_option_is_told_of(options: type[BaseModel]) -> None:
    table = (ROOT / "docs" / "api.md").read_text().partition("| option | of | means |")[2].partition("\n\n")[0]
    assert [name for name in options.model_fields if f"`{name}`" not in table] == []

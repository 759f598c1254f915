"""What docs/live.md shows for browsers, with the running service."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.page.conftest import Open
from tests.support.documents import example
from tests.support.tiny_weights import tiny_service

pytestmark = pytest.mark.slow

START_MS = 60_000  # in which a worker reads its models and finds the face
GIVEN = """
const file = await (await fetch("web/samples/portrait.jpg")).blob();
const add = (tag, properties) => document.body.appendChild(Object.assign(document.createElement(tag), properties));
const image = add("img", { id: "moved" });
const slider = add("input", { id: "mover", type: "range", min: -45, max: 45, value: 0 });
"""


def test_the_example_for_browsers_moves_a_portrait(opened: Open, tmp_path: Path) -> None:
    shown = example("docs/live.md", "## In a browser", "A browser cannot send headers")
    with tiny_service(tmp_path) as service:
        service.wait_for_workers()
        with opened(str(service.client.base_url)) as page:
            page.evaluate(f"(async () => {{ {GIVEN} {shown} }})()")
            image = page.locator("#moved")
            expect(image).to_have_attribute("title", re.compile(r"picture \d+"), timeout=START_MS)
            expect(image).to_have_js_property("naturalWidth", 512)
            before = image.get_attribute("title") or ""
            page.locator("#mover").fill("15")
            expect(image).not_to_have_attribute("title", before, timeout=START_MS)

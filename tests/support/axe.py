"""What axe finds in a page, in both schemes of colours."""

from collections.abc import Mapping

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

COLOURS = ["color-contrast", "link-in-text-block"]  # what depends on the scheme, and takes most of the time
OTHERS = {"rules": {"target-size": {"enabled": True}, **{rule: {"enabled": False} for rule in COLOURS}}}
RUN = """async ([part, options]) => {
  const { violations } = await axe.run(part, { ...options, preload: false, resultTypes: ["violations"] });
  return violations;
}"""


def check(page: Page, where: str, *, part: str = "body") -> None:
    """Nothing on the page keeps people out, and `part` of it, which is new, is read well in light and dark."""
    if page.evaluate("globalThis.axe === undefined"):
        page.evaluate(AXE_SCRIPT)
    _find_nothing(page, "html", OTHERS, where)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        _find_nothing(page, part, {"runOnly": COLOURS}, f"{where}, {scheme}")


def _find_nothing(page: Page, part: str, options: Mapping[str, object], where: str) -> None:
    results = AxeResults({"violations": page.evaluate(RUN, [part, options])})
    assert results.violations_count == 0, f"{where}: {results.generate_report()}"

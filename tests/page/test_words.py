"""What the page says: seven languages with the same texts, each of them used, and all of them fit."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.page.test_history import create, drawn
from tests.service.conftest import Server, photo
from tests.support.paths import ROOT

WEB = ROOT / "service" / "web"
LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "ko": "한국어",
    "ja": "日本語",
    "zh": "简体中文",
}
OTHERS = [code for code in LANGUAGES if code != "en"]
SAME = {  # as in English, and right
    "header.api": "de fr es ko ja zh",
    "header.nav": "fr",
    "stage.label": "fr",
    "stage.photo": "fr",
    "live.on": "de",
    "pose.tab": "de fr es",
    "pose.presets": "fr es",
    "control.scale.name": "fr",
    "speech.way-text": "de",
    "option.expression_scale": "fr",
    "option.size-pixels": "fr",
    "option.format": "de fr",
    "webcam.clip-name": "fr es",
    "portrait.kept": "fr",
    "camera.file": "fr",
    "history.video": "de",
    "history.timed": "de fr es ko",
}
SCREENS: list[dict[str, Any]] = [
    {"viewport": {"width": 1280, "height": 800}},
    {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True},
]
TEXTS = "button, select, summary, label, legend, .button, .picker, .choice span, .end"
CLIPPED = """texts => [...document.querySelectorAll(texts)]
  .filter(each => each.checkVisibility() && each.clientWidth && each.scrollWidth > each.clientWidth)
  .map(each => `${each.textContent}: ${each.scrollWidth} of ${each.clientWidth}`)"""


def table(language: str) -> dict[str, str]:
    """The texts of a language, each of which stands in a line of its own."""
    first, *lines, last = (WEB / "page" / "words" / f"{language}.js").read_text().splitlines()
    assert (first, last) == ("export const words = {", "};")
    found = [re.fullmatch(r'  "([\w.-]+)": "([^"\\]+)",', line) for line in lines if line and "  //" not in line]
    texts = {match[1]: match[2] for match in found if match}
    assert len(texts) == len(found)
    return texts


ENGLISH = table("en")


def used() -> tuple[set[str], list[str]]:
    """The keys that the page names, and patterns of those that it puts together."""
    sources = [path.read_text() for path in [*(WEB / "page").glob("*.js"), WEB / "index.html"]]
    part = r"\$\{[^}`]+\}"
    areas = "|".join({key.split(".")[0] for key in ENGLISH})
    named = {key for source in sources for key in re.findall(rf'"((?:{areas})\.[\w.-]+)"', source)}
    template = rf"`((?:{areas})\.(?:{part}|[\w.-])*|{part}\.[a-z]+)`"
    made = {key for source in sources for key in re.findall(template, source)}
    parts = [re.split(part, key) for key in made if "${" in key]
    return named, [r"[\w-]+".join(re.escape(part) for part in each) for each in parts]


def test_every_text_in_use_is_there_and_every_text_is_used() -> None:
    named, patterns = used()
    assert named - set(ENGLISH) == {"speech.flac"}  # a file
    made = {key for key in ENGLISH if any(re.fullmatch(pattern, key) for pattern in patterns)}
    assert set(ENGLISH) - named - made == set()


def test_problems_with_words_of_their_own_are_those_of_the_service() -> None:
    known = {each.slug for each in ProblemType} | {"other", "theirs"}
    assert {key.removeprefix("problem.") for key in ENGLISH if key.startswith("problem.")} - known == set()


def test_there_is_a_table_for_each_language() -> None:
    assert {path.stem for path in (WEB / "page" / "words").iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_all_texts(language: str) -> None:
    texts = table(language)
    assert list(texts) == list(ENGLISH)
    for key, text in texts.items():
        assert text.strip() == text != "", key
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", ENGLISH[key])), key
    same = {key for key, text in texts.items() if text == ENGLISH[key]}
    assert same == {key for key, languages in SAME.items() if language in languages.split()}


def speaks(page: Page, language: str) -> None:
    """All that there is of a language in the page's frame."""
    texts = table(language)
    expect(page.locator("#tab-speech")).to_have_text(texts["speech.tab"])
    expect(page.locator("html")).to_have_attribute("lang", language)
    expect(page).to_have_title(texts["page.title"])
    expect(page.locator("#language")).to_have_value(language)
    expect(page.locator("#language option:checked")).to_have_text(LANGUAGES[language])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("de-AT", "de"),
        ("fr-CA", "fr"),
        ("es-MX", "es"),
        ("ko-KR", "ko"),
        ("ja-JP", "ja"),
        ("zh-CN", "zh"),
        ("fi-FI", "en"),
    ],
)
def test_the_page_speaks_the_language_of_the_browser(opened: Open, server: Server, locale: str, language: str) -> None:
    with opened(server.url, locale=locale) as page:
        speaks(page, language)


@pytest.mark.slow
def test_a_language_that_was_chosen_stays(opened: Open, server: Server) -> None:
    with opened(server.url, locale="de-DE") as page:
        speaks(page, "de")
        for language in ("ja", "en", "fr"):
            page.locator("#language").select_option(label=LANGUAGES[language])
            speaks(page, language)
        page.reload()
        speaks(page, "fr")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("en", ["105%", "45 sec", "1.5 MB"]),
        ("de", ["105 %", "45 Sek.", "1,5 MB"]),
        ("fr", ["105 %", "45 s", "1,5 Mo"]),
        ("ja", ["105%", "45 秒", "1.5 MB"]),
    ],
)
def test_numbers_are_written_as_the_language_does(
    opened: Open, full_server: Server, language: str, written: list[str]
) -> None:
    with opened(full_server.url, locale=language) as page:
        scale, yaw = page.locator("[data-control=scale]"), page.locator("[data-control=yaw]")
        scale.press("ArrowRight")
        yaw.fill("-0.9")  # nearly at rest
        expect(yaw).to_have_attribute("aria-valuetext", "0°")
        found = [
            scale.get_attribute("aria-valuetext"),
            page.evaluate("import('./web/page/words.js').then(({ quantity }) => quantity(45, 'second'))"),
            page.evaluate("import('./web/page/words.js').then(({ quantity }) => quantity(1.5, 'megabyte', 1))"),
        ]
        assert [re.sub(r"\s", " ", text or "") for text in found] == written


def each_state_of(page: Page) -> Iterator[str]:
    """Bring the page to its states, one after the other; the name of each."""
    yield "empty"
    page.locator(".chooser .buttons button").last.click()
    expect(page.locator("#picture img")).to_be_visible()
    for tab in ("pose", "speech", "follow"):
        page.locator(f"#tab-{tab}").click()
        panel = page.locator(f"#panel-{tab}")
        panel.evaluate("panel => panel.querySelectorAll('details').forEach(more => more.open = true)")
        yield tab
        for way in panel.locator("fieldset input[type=radio]").all():
            way.check()
            yield f"{tab}, {way.get_attribute('value')}"
    page.locator("#photo-menu summary").click()
    yield "the photo's menu"
    page.locator("[data-status=succeeded] button").first.click()
    expect(page.locator("#download")).to_be_visible()
    yield "a result"
    page.locator("[data-status=failed] button").first.click()
    expect(page.locator("#notice")).not_to_be_empty()
    yield "a problem"


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_all_texts_fit(opened: Open, full_server: Server, language: str) -> None:
    server = full_server
    done, failed = create(server), create(server)
    server.succeed(done, photo(200, 100, "PNG"))
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))
    for screen in SCREENS:
        with opened(server.url, locale=language, reduced_motion="reduce", **screen) as page:
            expect(page.locator(".preset")).to_have_count(12, timeout=30_000)
            drawn(page, done)
            for state in each_state_of(page):
                where = f"{screen['viewport']}, {state}"
                assert page.evaluate(CLIPPED, TEXTS) == [], where
                assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, where


@pytest.mark.slow
@pytest.mark.parametrize("language", ["de", "ja"])
def test_nothing_keeps_people_out_in_other_languages(opened: Open, full_server: Server, language: str) -> None:
    with opened(full_server.url, locale=language, reduced_motion="reduce") as page:
        expect(page.locator(".preset")).to_have_count(12, timeout=30_000)
        for tab in ("pose", "speech", "follow"):
            page.locator(f"#tab-{tab}").click()
            results = Axe().run(page)
            assert results.violations_count == 0, results.generate_report()

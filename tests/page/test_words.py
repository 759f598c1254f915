"""What the page says: seven languages with the same texts, each of them used, and all of them fit."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import CDPSession, Page, expect

from jobs.problems import Problem, ProblemType
from tests.page.conftest import Open
from tests.page.test_history import create, drawn
from tests.service.conftest import Server, photo
from tests.support.axe import check
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
WRITTEN = {  # a share, a time and a size
    "en": ["105%", "45 sec", "1.5 MB"],
    "de": ["105 %", "45 Sek.", "1,5 MB"],
    "fr": ["105 %", "45 s", "1,5 Mo"],
    "ja": ["105%", "45 秒", "1.5 MB"],
}
SCREENS = [(360, 640, True), (390, 844, True), (1280, 800, False)]  # width, height, whether it is touched
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
def test_a_language_that_was_chosen_stays(opened: Open, server: Server) -> None:
    with opened(server.url, locale="de-DE") as page:
        speaks(page, "de")
        for language in ("en", "fr"):
            page.locator("#language").select_option(label=LANGUAGES[language])
            speaks(page, language)
        page.reload()
        speaks(page, "fr")


def writes(page: Page, language: str) -> None:
    """Numbers as the language does."""
    scale, yaw = page.locator("[data-control=scale]"), page.locator("[data-control=yaw]")
    scale.press("ArrowRight")
    yaw.fill("-0.9")  # nearly at rest
    expect(yaw).to_have_attribute("aria-valuetext", "0°")
    found = [
        scale.get_attribute("aria-valuetext"),
        page.evaluate("import('./web/page/words.js').then(({ quantity }) => quantity(45, 'second'))"),
        page.evaluate("import('./web/page/words.js').then(({ quantity }) => quantity(1.5, 'megabyte', 1))"),
    ]
    assert [re.sub(r"\s", " ", text or "") for text in found] == WRITTEN[language]


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


def fits(page: Page, screen: CDPSession, where: str) -> None:
    """Whether no text is cut off on any screen."""
    for width, height, touched in SCREENS:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touched}
        screen.send("Emulation.setDeviceMetricsOverride", size)
        screen.send("Emulation.setTouchEmulationEnabled", {"enabled": touched})
        assert page.evaluate("[innerWidth, matchMedia('(pointer: coarse)').matches]") == [width, touched]
        assert page.evaluate(CLIPPED, TEXTS) == [], f"{where}, {width} pixels wide"
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{where}, {width} pixels wide"


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
def test_the_page_speaks_the_language_of_the_browser_and_its_texts_fit(
    opened: Open, full_server: Server, locale: str, language: str
) -> None:
    server = full_server
    done, failed = create(server), create(server)
    server.succeed(done, photo(200, 100, "PNG"))
    server.context.store.claims.fail(server.claim(failed), Problem.of(ProblemType.NO_FACE, "no face"))
    with opened(server.url, locale=locale, reduced_motion="reduce") as page:
        screen = page.context.new_cdp_session(page)
        speaks(page, language)
        expect(page.locator(".preset")).to_have_count(12)
        if language in WRITTEN:
            writes(page, language)
        drawn(page, done)
        for state in each_state_of(page):
            if language in ("de", "ja") and state in ("pose", "speech", "follow"):
                check(page, state, part="#panel")
            fits(page, screen, state)

"""Each type of problem has a page, which its `type` leads to."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from jobs.problems import Problem, ProblemType
from service.http.explanations import EXPLANATIONS, markdown
from service.http.problem_examples import PROBLEMS
from tests.service.conftest import Server
from tests.service.routes.test_create import refused
from tests.support.paths import ROOT

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_every_type_is_explained() -> None:
    assert [each.slug for each in ProblemType if each.slug not in EXPLANATIONS] == [], "add them to EXPLANATIONS"
    shown = {each.type for each in PROBLEMS.values()}
    assert [each.slug for each in ProblemType if each not in shown] == [], "add them to PROBLEMS"
    for slug, told in EXPLANATIONS.items():
        assert re.fullmatch("[a-z]+(-[a-z]+)*", slug)
        assert all(text.endswith(".") and text.count("`") % 2 == 0 for text in (told.meaning, told.remedy)), slug


def test_the_document_is_made_of_the_same_table() -> None:
    page = ROOT / "docs/problems.md"
    assert page.read_text() == markdown(), "python -m service.http.explanations > docs/problems.md"


@pytest.mark.parametrize("headers", [{}, BROWSER], ids=["program", "browser"])
def test_a_problem_leads_to_its_page(server: Server, headers: dict[str, str]) -> None:
    problem = refused(server.client.get("/v1/jobs/no"), ProblemType.NOT_FOUND)
    response = server.client.get(problem["type"], headers=headers)
    assert response.headers["vary"] == "Accept"
    if headers:
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert f"<h1>{problem['title']}</h1>" in response.text
        assert "<code>GET /v1/jobs</code>" in response.text
    else:
        page = response.json()
        assert (page["slug"], page["type"]) == ("not-found", problem["type"])
        assert (page["title"], page["status"]) == (problem["title"], problem["status"])
        assert page["meaning"]
        assert page["remedy"]
        assert Problem.model_validate(page["example"]).type == problem["type"]


class Links(HTMLParser):
    """What a page refers to, and whether it is free of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "style")
        assert not {name for name, _ in attrs} & {"style", "onclick"}
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def test_all_types_are_listed_and_their_pages_load_from_here_alone(server: Server) -> None:
    listed = server.client.get("/problems").json()["problems"]
    assert [each["slug"] for each in listed] == [each.slug for each in ProblemType]
    links = Links(server.client.get("/problems", headers=BROWSER).text).found
    assert {f"problems/{each.slug}" for each in ProblemType} <= set(links)
    pages = {"/problems", *(f"/problems/{each.slug}" for each in ProblemType)}
    for page in pages:
        response = server.client.get(page, headers=BROWSER)
        assert response.status_code == 200, page
        for link in Links(response.text).found:
            assert ":" not in link, (page, link)
            assert urljoin(page, link) in pages or server.client.get(urljoin(page, link)).status_code == 200, (
                page,
                link,
            )


def test_what_is_no_type_has_no_page(server: Server) -> None:
    problem = refused(server.client.get("/problems/<b>"), ProblemType.NOT_FOUND)
    assert problem["got"] == "<b>"

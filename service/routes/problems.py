"""/problems: a page for each type of problem, which its `type` leads to; for browsers and for programs."""

import html
import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel

from jobs.problems import Problem, ProblemType
from service.context import ContextDep
from service.http.explanations import EXPLANATIONS
from service.http.openapi import STRANGER, problem_responses
from service.http.problem_examples import PROBLEMS
from service.http.problems import ProblemError

router = APIRouter(prefix="/problems", tags=["problems"], responses=STRANGER)

BY_SLUG = {each.slug: each for each in ProblemType}
VARY = {"Vary": "Accept"}
AS_HTML: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "As JSON, or as a page"}
}


class ProblemPage(BaseModel):
    """A type of problem: what it means, what to do about it, and one as it may be answered."""

    slug: str
    type: str
    title: str
    status: int
    meaning: str
    remedy: str
    example: Problem


class ProblemList(BaseModel):
    """All types of problems."""

    problems: list[ProblemPage]


@router.get("", response_model=ProblemList, responses=AS_HTML)
def list_problems(request: Request, context: ContextDep) -> Response:
    """Every type of problem: JSON, or a page where `Accept` names text/html."""
    base = context.base_url(request)
    if _is_browser(request):
        items = "".join(
            f'<li><a href="problems/{each.slug}">{each.slug}</a>, {each.status}: {html.escape(each.title)}</li>'
            for each in ProblemType
        )
        return _page("Problems", f"<ul>{items}</ul>", up="")
    listed = ProblemList(problems=[_explained(each, base) for each in ProblemType])
    return JSONResponse(listed.model_dump(mode="json", exclude_none=True), headers=VARY)


@router.get("/{slug}", response_model=ProblemPage, responses={**AS_HTML, **problem_responses(s404="No such type")})
def read_problem(request: Request, context: ContextDep, slug: str) -> Response:
    """One type of problem: what it means and what to do about it."""
    if slug not in BY_SLUG:
        raise ProblemError(
            ProblemType.NOT_FOUND, f"there is no type of problem {slug[:64]!r}", got=slug, allowed=list(BY_SLUG)
        )
    found = _explained(BY_SLUG[slug], context.base_url(request))
    if not _is_browser(request):
        return JSONResponse(found.model_dump(mode="json", exclude_none=True), headers=VARY)
    example = html.escape(found.example.model_dump_json(indent=2, exclude_none=True))
    text = (
        f'<p class="quiet">{found.slug}, status {found.status}</p>'
        f"<h2>What it means</h2><p>{_marked_up(found.meaning)}</p>"
        f"<h2>What to do</h2><p>{_marked_up(found.remedy)}</p>"
        f"<h2>As it may be answered</h2><pre>{example}</pre>"
        '<p><a href="../problems">All problems</a></p>'
    )
    return _page(found.title, text, up="../")


def _explained(kind: ProblemType, base: str) -> ProblemPage:
    meaning, remedy = EXPLANATIONS[kind.slug]
    example = next(each.problem for each in PROBLEMS.values() if each.type is kind)
    return ProblemPage(
        slug=kind.slug,
        type=base + kind.uri,
        title=kind.title,
        status=kind.status,
        meaning=meaning,
        remedy=remedy,
        example=example.under(base),
    )


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _marked_up(text: str) -> str:
    return re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text))


def _page(title: str, body: str, *, up: str) -> HTMLResponse:
    """A page with the style of ours. Its addresses are relative, as those of the page at / are: `up` leads there."""
    title = html.escape(title)
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8" />'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />'
        f'<title>{title}</title><link rel="icon" href="{up}web/icon.svg" type="image/svg+xml" />'
        f'<link rel="stylesheet" href="{up}web/base.css" /></head>'
        f"<body><header><h1>{title}</h1></header><main><section>{body}</section></main></body></html>",
        headers=VARY,
    )

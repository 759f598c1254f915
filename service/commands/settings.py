"""`pirenderer settings`: every environment variable that is read."""

from collections.abc import Sequence
from typing import Annotated

import typer

from service.variables import OTHERS, Variable, settings_by_end

HEAD = """# Settings

Every setting is an environment variable. An empty one counts as unset. Its value may also stand in a file whose path
is given by the variable with `_FILE` behind its name, as `PIRENDERER_API_KEYS_FILE`; the file's last line end does not
count. In a container each may also be a file in `/run/secrets` that has the variable's name.
`pirenderer settings --markdown` makes this page.
"""


def settings(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/settings.md instead.")] = False,
) -> None:
    """List every setting: the variable and its default, what is allowed, and what it means."""
    ends = settings_by_end()
    if as_markdown:
        typer.echo(_page(ends), nl=False)
        return
    for end, variables in ends.items():
        typer.secho(f"{end}\n", bold=True)
        for each in variables:
            typer.echo(f"  {each.name}={each.default}\n      ({each.allowed}) {each.meaning}")
        typer.echo()


def _page(ends: dict[str, list[Variable]]) -> str:
    parts = [HEAD]
    for end, variables in ends.items():
        rows = [(f"`{each.name}`", each.allowed, each.default, each.meaning) for each in variables]
        parts.append(f"## {end}\n\n{_table(('variable', 'allowed', 'default', 'meaning'), rows)}")
    others = [(f"`{name}`", meaning) for name, meaning in OTHERS.items()]
    parts.append(f"## No settings, but ours\n\n{_table(('variable', 'meaning'), others)}")
    return "\n".join(parts)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

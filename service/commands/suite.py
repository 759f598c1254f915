"""`pirenderer test`: the tests, in a clone of the project; an installed package has no such command."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}

# One more than there are cores, for some tests wait; of many each would need two gigabytes of its own.
LANES = min(len(os.sched_getaffinity(0)) + 1, 4)
SIDE_BY_SIDE = ["-n", str(LANES), "--dist", "worksteal"]
OUTCOMES = {0: "passed", 1: "failed", 5: "no tests"}  # by exit codes of pytest
NO_TESTS = 5


def suite(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out what is slow, and what must run alone.")] = False,
    marks: Annotated[str, typer.Option("-m", help="Only tests with these marks, as pytest's -m.")] = "",
) -> None:
    """Run the tests, most side by side, then those that measure time or memory. Further arguments go to pytest."""
    root = Path(__file__).parents[2]
    if importlib.util.find_spec("xdist") is None:
        typer.echo("error: pytest-xdist is not installed; `./pirenderer test` installs it", err=True)
        raise typer.Exit(1)
    wanted = [f"({marks})"] if marks else []
    runs = {"side by side": (SIDE_BY_SIDE, [*wanted, "not alone", *(["not slow"] if fast else [])])}
    if not fast:
        runs["alone"] = ([], [*wanted, "alone"])
    ended: dict[str, int] = {}
    for name, (arguments, marked) in runs.items():
        command = [sys.executable, "-m", "pytest", *arguments, "-m", " and ".join(marked), *context.args]
        ended[name] = subprocess.run(command, cwd=root, check=False).returncode
    typer.echo("; ".join(f"{name}: {OUTCOMES.get(code, f'ended with {code}')}" for name, code in ended.items()))
    failed = [code for code in ended.values() if code not in (0, NO_TESTS)]
    raise typer.Exit(failed[0] if failed else min(ended.values()))


suite.context_settings = context_settings  # type: ignore[attr-defined] # read where the command is mounted

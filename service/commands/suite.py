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
# A test that waits for processes may miss its time where the lanes share few cores, so what failed is asked once more
# with nothing beside it, and ends at the first that fails again. Its name has been printed: it is to be mended.
AGAIN = ["--last-failed", "--last-failed-no-failures", "none", "--exitfirst"]
FAILED, NO_TESTS = 1, 5
OUTCOMES = {0: "passed", FAILED: "failed", NO_TESTS: "no tests"}  # by exit codes of pytest


def suite(
    context: typer.Context,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out what is slow, and what must run alone.")] = False,
    marks: Annotated[str, typer.Option("-m", help="Only tests with these marks, as pytest's -m.")] = "",
) -> None:
    """Run the tests, most side by side, then those that measure time or memory. What fails side by side is run again
    with nothing beside it. Further arguments go to pytest."""
    root = Path(__file__).parents[2]
    if importlib.util.find_spec("xdist") is None:
        typer.echo("error: pytest-xdist is not installed; `./pirenderer test` installs it", err=True)
        raise typer.Exit(1)

    def ended(arguments: list[str], *marked: str) -> int:
        chosen = " and ".join([f"({marks})"] * bool(marks) + list(marked))
        command = [sys.executable, "-m", "pytest", *arguments, "-m", chosen, *context.args]
        return subprocess.run(command, cwd=root, check=False).returncode

    shared = ["not alone"] + ["not slow"] * fast
    runs = {"side by side": ended(SIDE_BY_SIDE, *shared)}
    if runs["side by side"] == FAILED:
        runs["again"] = ended(AGAIN, *shared)
    if not fast:
        runs["alone"] = ended([], "alone")
    typer.echo("; ".join(f"{name}: {OUTCOMES.get(code, f'ended with {code}')}" for name, code in runs.items()))
    if runs.get("again") == 0:
        del runs["side by side"]
    failed = [code for code in runs.values() if code not in (0, NO_TESTS)]
    raise typer.Exit(failed[0] if failed else min(runs.values()))


suite.context_settings = context_settings  # type: ignore[attr-defined] # read where the command is mounted

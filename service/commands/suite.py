"""`pirenderer test`: the project's tests, from its source tree."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import typer

context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}


def test(context: typer.Context) -> None:
    """Run the tests; further arguments go to pytest."""
    root = Path(__file__).parents[2]
    if not (root / "tests").is_dir():
        typer.echo(f"error: there are no tests beside {root / 'service'}; run this in a clone of the project", err=True)
        raise typer.Exit(1)
    if importlib.util.find_spec("pytest") is None:
        typer.echo('error: pytest is not installed; install "pirenderer[worker,train,standalone,dev]"', err=True)
        raise typer.Exit(1)
    raise typer.Exit(subprocess.run([sys.executable, "-m", "pytest", *context.args], cwd=root, check=False).returncode)


test.context_settings = context_settings  # type: ignore[attr-defined] # read where the command is mounted

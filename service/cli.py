"""The one command line, `pirenderer`. Commands are imported when they are called, so that `--help` is immediate and
`pirenderer api` needs neither torch nor the models."""

import os
import stat
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from jobs.errors import UnusableError
from service.version import package_version

# name: where it lives, what the list of commands says of it
COMMANDS = {
    "demo": ("service.commands.demo:demo", "See it work: start everything and animate the packaged portrait."),
    "serve": ("service.commands.serve:serve", "Serve on this machine: Redis, workers and API, stopped together."),
    "submit": ("service.commands.submit:submit", "Send a job to a running server and fetch its result."),
    "render": ("worker.cli:render", "Animate a portrait in this process, without any server."),
    "extract": ("worker.cli:extract", "Extract the motion of an image or a video."),
    "api": ("service.commands.api:api", "Run the HTTP front-end alone, against a given Redis."),
    "worker": ("worker.cli:worker", "Run one worker, against a given Redis."),
    "keys": ("service.commands.keys:keys", "Make, list and revoke API keys."),
    "train": ("model.cli:train", "Train the morphable model, extractor, renderer or audio model."),
    "evaluate": ("model.cli:evaluate", "Measure trained models."),
    "benchmark": ("worker.cli:benchmark", "Measure the engines, the stages of a job, start and memory."),
    "weights": ("model.cli:weights", "Import and inspect weights."),
    "openapi": ("service.commands.openapi:openapi", "Print the OpenAPI document of the API."),
    "settings": ("service.commands.settings:settings", "List every setting and what it means."),
    "healthy": ("service.commands.healthy:healthy", "Say whether this machine's API or worker lives."),
    "doctor": ("service.commands.doctor:doctor", "Check what this machine has and say how to mend what it lacks."),
}
if (Path(__file__).parents[1] / "tests").is_dir():  # in a clone of the project
    COMMANDS["test"] = ("service.commands.suite:suite", "Run the tests.")

# What these keep is the service's; what the others write is the user's, who has a umask for that.
KEEPERS = {"serve", "api", "worker", "keys"}
SERVERS = {"serve", "api", "worker"}  # which would run on with a setting that is misspelt


class LazyCommand(TyperCommand):
    """Stands for a command until it is called."""

    def __init__(self, name: str, target: str, help_text: str) -> None:
        super().__init__(name, help=help_text)
        self._target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Load the command and let it make its own context."""
        if self.name in KEEPERS:
            os.umask(stat.S_IRWXG | stat.S_IRWXO)
        context = self._load().make_context(info_name, args, parent=parent, **extra)
        if self.name in SERVERS:
            from jobs.logs import configure_logging
            from service.variables import warn_of_unknown

            configure_logging()
            warn_of_unknown()
        return context

    def _load(self) -> Any:
        found = resolve_name(self._target)
        if isinstance(found, typer.Typer):
            return get_group(found)
        alone = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
        alone.command(self.name, context_settings=getattr(found, "context_settings", None))(found)
        return get_command(alone)


class LazyGroup(TyperGroup):
    """The commands of the table."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.commands = {name: LazyCommand(name, target, text) for name, (target, text) in COMMANDS.items()}

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for. What it cannot do with, or without, ends it in one line."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            typer.echo(
                f"error: `pirenderer {ctx.invoked_subcommand}` needs the module {error.name}, which is not installed; "
                "install this package with the extras worker, train and standalone, as docs/operations/systemd.md does",
                err=True,
            )
            raise typer.Exit(1) from error
        except UnusableError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from error


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(package_version())
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Portrait animation: a photo and a pose, or a photo and speech, in; an image or a talking-head video out."""


def main() -> None:
    """Run the command line. A file that cannot be read or written ends it in one line, whichever command it is."""
    try:
        app(prog_name="pirenderer")
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(f"error: {error.filename}: {error.strerror}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()

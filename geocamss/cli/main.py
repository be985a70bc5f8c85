"""``geocamss``: finds the command that is asked for, and tells how it ended.

A command's module is imported when the command is called or its own help is asked, never for
``geocamss --help``: that answers at once, whatever the commands need.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

import click

from geocamss import __version__
from geocamss.cli.options import did_you_mean, examples
from geocamss.errors import GeocamssError, GeocamssWarning, InterruptError

__all__ = ["COMMANDS", "cli", "main"]

COMMANDS = {
    "predict": "Map a scene: classes, confidence, polygons and their styles.",
    "view": "Look at a map in the browser, at full resolution.",
    "map": "Map many scenes, and report on them.",
    "vectorize": "Turn a class raster into polygons.",
    "info": "Tell what a scene or a model is.",
    "models": "List the built-in models.",
    "evaluate": "Map scenes, and score the maps against labels.",
    "train": "Train a model by a recipe, or on a scene and its labels.",
    "pretrain": "Pretrain an image encoder on rasters without labels.",
    "doctor": "Look at GDAL, torch, GPU, models, extras, QGIS and disks.",
    "simulate": "Paint a landscape whose every pixel's class is known.",
    "qgis-plugin": "Pack the plugin for the Processing toolbox of QGIS.",
}
"""Command to the first sentence of its help; the command stands in ``geocamss/cli/COMMAND.py``,
with underscores for hyphens."""

INTERRUPTED = InterruptError.exit_code


@dataclass
class Settings:
    """What holds for the whole call, whichever command it is."""

    debug: bool = False
    """Show tracebacks, and every warning."""


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 (as click calls it)
    if value:
        context.ensure_object(Settings).debug = True


DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    expose_value=False,
    callback=_set_debug,
    help="Show the traceback of an error, and every warning.",
)


def _set_verbose(_context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 (as click calls it)
    if value:
        import logging

        logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
        logging.getLogger("geocamss").setLevel(logging.INFO)


VERBOSE = click.Option(
    ["-v", "--verbose"],
    is_flag=True,
    expose_value=False,
    callback=_set_verbose,
    help="Tell what is done, and how much of it there is, step by step.",
)


class LazyGroup(click.Group):
    """The commands of ``COMMANDS``, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module, and give the command of that name in it."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"geocamss.cli.{cmd_name.replace('-', '_')}")
        found = (c for c in vars(module).values() if isinstance(c, click.Command))
        command = next(c for c in found if c.name == cmd_name)
        if DEBUG not in command.params:
            command.params += [VERBOSE, DEBUG]
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but an unknown command is told the nearest known one."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            ctx.fail(f"no command is called {name!r}.{did_you_mean(name, COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    params=[VERBOSE, DEBUG],
    context_settings={
        "auto_envvar_prefix": "GEOCAMSS",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog=examples(
        "geocamss predict scene.tif -o out",
        "geocamss info scene.tif",
        "geocamss predict --help",
        after="Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 130 interrupted.",
    ),
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Turn remote-sensing scenes into maps."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        args: what stands behind ``geocamss``; None takes it from the process.

    Returns:
        The exit code: 0 done, 1 the run failed, 2 the input is wrong, 130 interrupted.
    """
    settings = Settings()
    try:
        with _terminable(), _told_warnings(settings):
            code = cli.main(args, prog_name="geocamss", standalone_mode=False, obj=settings)
    except click.Abort as abort:
        notes = getattr(abort.__cause__, "__notes__", ())
        _tell(": ".join(["interrupted", *notes]))
        return INTERRUPTED
    except click.ClickException as error:
        return _tell_usage(error)
    except GeocamssError as error:
        if settings.debug:
            traceback.print_exc()
        _tell(f"{'interrupted' if isinstance(error, InterruptError) else 'error'}: {error}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001  (the last resort: no traceback for users)
        _tell_unexpected(error, debug=settings.debug)
        return 1
    return code if isinstance(code, int) else 0


def _tell(message: str) -> None:
    click.echo(message, err=True)


def _tell_usage(error: click.ClickException) -> int:
    """A command line that could not be understood: how it is used, and what is wrong."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        _tell(f"{context.get_usage()}\nTry '{context.command_path} --help'.\n")
    _tell(f"error: {error.format_message()}")
    return error.exit_code


def _tell_unexpected(error: Exception, *, debug: bool) -> None:
    """A mistake of geocamss's own, or one that it does not know of."""
    if debug:
        traceback.print_exc()
    kind = type(error).__name__
    _tell(f"unexpected error: {kind}: {error}" if str(error) else f"unexpected error: {kind}")
    if not debug:
        _tell("Run the command again with --debug, and report what it prints.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, so that it cleans up behind itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _told_warnings(settings: Settings) -> Iterator[None]:
    """Print geocamss's own warnings as a line each; those of libraries only for ``--debug``."""

    def show(  # noqa: PLR0917  (the signature of warnings.showwarning)
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001 (as click calls it)
        line: str | None = None,
    ) -> None:
        if issubclass(category, GeocamssWarning):
            _tell(f"warning: {message}")
        elif settings.debug:
            _tell(warnings.formatwarning(message, category, filename, lineno, line).rstrip())

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


if __name__ == "__main__":
    sys.exit(main())

"""The frame of the command line: which commands there are, and how a call ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest

from geocamss import __version__
from geocamss.cli import main as main_module
from geocamss.cli.main import COMMANDS, cli, main
from geocamss.errors import (
    GeocamssError,
    GeocamssWarning,
    InputError,
    InterruptError,
    RunError,
)

HEAVY = {"torch", "rasterio", "numpy", "geopandas", "pandas", "pydantic", "rich", "shapely"}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Call ``geocamss`` as a shell does."""
    return subprocess.run(
        [sys.executable, "-m", "geocamss", *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch):
    """Put a command named ``end`` among the others, which ends as the test wants."""

    def install(end) -> None:
        command = click.Command("end", callback=end)
        monkeypatch.setitem(main_module.COMMANDS, "end", "End.")
        module = type(sys)("geocamss.cli.end")
        module.end = command
        monkeypatch.setitem(sys.modules, "geocamss.cli.end", module)

    return install


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from geocamss.cli.main import main; code = main(['--help']); "
        f"print(code, sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "0 []"
    for name, summary in COMMANDS.items():
        assert name in done.stdout
        assert summary in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_as_the_list_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    said = command.get_short_help_str(limit=200).rstrip(".")
    assert said.lower() == COMMANDS[name].rstrip(".").lower()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"--{parameter.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_quiet_wordy_and_read_by_programs(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    options = {option for parameter in command.params for option in parameter.opts}
    assert options >= {"--json", "-q", "--quiet", "-v", "--verbose", "--debug"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_examples_that_parse(name: str, capsys) -> None:
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    lines = [line.split() for line in text.split("Examples:")[1].splitlines()]
    examples = [words for words in lines if words[:1] == ["geocamss"]]
    assert examples
    command = cli.get_command(click.Context(cli), name)
    for words in examples:
        assert words[1] == name
        with command.make_context(name, words[2:], resilient_parsing=True):
            pass


def test_version_is_printed(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"geocamss {__version__}\n"


def test_no_command_shows_the_help() -> None:
    done = run()
    assert done.returncode == 2
    assert "Commands:" in done.stdout + done.stderr


def test_unknown_command_is_told_the_nearest(capsys) -> None:
    assert main(["predikt"]) == 2
    assert "no command is called 'predikt'. Did you mean 'predict'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("bad input"), 2), (RunError("bad luck"), 1), (InterruptError("stopped"), 130)],
)
def test_errors_become_exit_codes_and_one_line(
    ending, capsys, error: GeocamssError, code: int
) -> None:
    def end() -> None:
        raise error

    ending(end)
    assert main(["end"]) == code
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert str(error) in text
    assert main(["end", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err
    assert main(["--debug", "end"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_unexpected_errors_show_no_traceback_until_asked(ending, capsys) -> None:
    def end() -> None:
        raise ZeroDivisionError("by nought")

    ending(end)
    assert main(["end"]) == 1
    text = capsys.readouterr().err
    assert "unexpected error: ZeroDivisionError: by nought" in text
    assert "--debug" in text
    assert "Traceback" not in text
    assert main(["end", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def ctrl_c_is_heard():
    """A shell's background job ignores Ctrl-C: hear it all the same."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_command_with_130(ending, capsys, number: signal.Signals) -> None:
    cleaned = []

    def end() -> None:
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        finally:
            cleaned.append(True)

    ending(end)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["end"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert cleaned == [True]
    assert signal.getsignal(signal.SIGTERM) == before


def test_who_interrupts_a_command_is_told_what_becomes_of_it(ending, capsys) -> None:
    def end() -> None:
        error = KeyboardInterrupt()
        error.add_note("run it again")
        raise error

    ending(end)
    assert main(["end"]) == 130
    assert "interrupted: run it again\n" in capsys.readouterr().err


def test_only_our_warnings_are_told(ending, capsys) -> None:
    def end() -> None:
        warnings.warn("the map is upside down", GeocamssWarning, stacklevel=1)
        warnings.warn("a library mutters", UserWarning, stacklevel=1)

    ending(end)
    assert main(["end"]) == 0
    assert capsys.readouterr().err == "warning: the map is upside down\n"
    assert main(["end", "--debug"]) == 0
    assert "a library mutters" in capsys.readouterr().err


def test_exit_codes_reach_the_shell() -> None:
    assert run("--version").returncode == 0
    assert run("nothing-of-the-kind").returncode == 2
    missing = run("predict", "no-such-scene.tif", "-o", "no-such-folder")
    assert missing.returncode == 2
    assert "no-such-scene.tif" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_every_command_file_is_in_the_list() -> None:
    package = Path(main_module.__file__).parent
    helpers = {"__init__", "describe", "main", "options", "planned", "progress", "scores"}
    helpers |= {"summary", "tables"}
    files = {
        file.stem.replace("_", "-") for file in package.glob("*.py") if file.stem not in helpers
    }
    assert files == set(COMMANDS)


def test_options_come_from_the_environment_and_the_command_line_first(monkeypatch, capsys):
    monkeypatch.setenv("GEOCAMSS_PREDICT_GSD", "wide")
    assert main(["predict", "scene.tif", "-o", "out"]) == 2
    assert "'wide'" in capsys.readouterr().err
    assert main(["predict", "none.tif", "-o", "out", "--gsd", "native"]) == 2
    assert "none.tif" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete_commands(shell):
    environment = {**os.environ, "_GEOCAMSS_COMPLETE": f"{shell}_source"}
    done = subprocess.run(
        [sys.executable, "-c", "from geocamss.cli.main import main; main([])"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "geocamss" in done.stdout

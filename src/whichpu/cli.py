"""The command line: its commands, its streams and its exit codes. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import codecs
import errno
import gc
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer

from whichpu import __version__
from whichpu.commands.analyze import analyze
from whichpu.commands.bisect import bisect
from whichpu.commands.boards import boards
from whichpu.commands.check import check
from whichpu.commands.compare import compare
from whichpu.commands.defaults import of_run
from whichpu.commands.devices import devices
from whichpu.commands.doctor import doctor
from whichpu.commands.export import export
from whichpu.commands.fix import fix
from whichpu.commands.imports import import_
from whichpu.commands.join import join
from whichpu.commands.meters import meters
from whichpu.commands.recommend import recommend
from whichpu.commands.reproduce import reproduce
from whichpu.commands.run import run
from whichpu.commands.scenario import scenario
from whichpu.commands.stored import report, show
from whichpu.commands.together import together
from whichpu.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER, UserError

app = typer.Typer(
    name="whichpu",
    help="Measure a trained model on every runtime and processing unit within reach, and say which to ship on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in a third of the time
)
COMMANDS = (
    devices,
    boards,
    doctor,
    meters,
    run,
    scenario,
    together,
    show,
    import_,
    compare,
    recommend,
    report,
    join,
    export,
    check,
    bisect,
    analyze,
    fix,
    reproduce,
)
NAMES = [command.__name__ for command in COMMANDS]
for command in COMMANDS:
    app.command()(command)


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options before the command."""
    if version:
        typer.echo(f"whichpu {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script: every error becomes a sentence and the right exit code."""
    _streams()
    gc.set_threshold(100_000)  # 10,000 results are many small objects, and no garbage: a fifth of `compare`
    sys.exit(guarded(sys.argv[1:]))


def guarded(arguments: list[str]) -> int:
    """Run the command line; return its exit code (Typer turns Ctrl-C into 130)."""
    from typer.exceptions import TyperException

    try:
        defaults = of_run(run, arguments)
        status = app(args=arguments, prog_name="whichpu", standalone_mode=False, default_map=defaults)
        return status if isinstance(status, int) else EXIT_OK
    except UserError as problem:
        _say(problem)
        return problem.status
    except TyperException as problem:
        named = [name for name in arguments[:1] if name in NAMES]
        if arguments:
            see = " ".join(["whichpu", *named, "--help"])
            _say(UserError(problem.format_message(), f"{see}, and [run] in whichpu.toml" if defaults else see))
        else:
            typer.echo(problem.format_message())  # no command: the message is the help
        return EXIT_USER
    except typer.Abort as stop:  # Typer takes any EOFError for the end of the user's input
        return _bug(arguments) if isinstance(stop.__cause__, EOFError) else EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as stop:  # Typer's answer to a reader that left (`| head`); nothing more can be said
        if isinstance(stop.__context__, BrokenPipeError):
            return EXIT_OK
        raise
    except MemoryError:
        _say(UserError("this machine ran out of memory", "give smaller sizes, less data, or a machine with more"))
        return EXIT_USER
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            return _bug(arguments)
        where = f" ({problem.filename})" if problem.filename else f" (perhaps that of {tempfile.gettempdir()})"
        _say(UserError(f"a disk is full{where}", "free some space, or name a larger place: TMPDIR=FOLDER whichpu ..."))
        return EXIT_USER
    except Exception:
        return _bug(arguments)


# ---------------------------------------------------------------- parts


def _streams() -> None:
    """A closed stream is as good as the null device, and no character stops a command that can't be said there."""
    codecs.register_error("plainer", _plainer)
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # stays open
        elif name != "stdin":
            stream.reconfigure(errors="plainer")


def _plainer(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    from whichpu.reports.words import PLAINER

    return "".join(PLAINER.get(letter, "?") for letter in problem.object[problem.start : problem.end]), problem.end


def _say(problem: UserError) -> None:
    typer.echo(f"Error: {problem}", err=True)
    if problem.remedy:
        typer.echo(f"  Try: {problem.remedy}", err=True)
    if problem.kept:
        typer.echo(f"  Kept: {problem.kept}", err=True)


def _bug(arguments: list[str]) -> int:
    """Write a log ready to paste; say where it is."""
    import platform

    log = "\n".join(
        (f"whichpu {__version__}, Python {platform.python_version()}, {platform.platform()}",
         f"arguments: {arguments}", traceback.format_exc())
    )  # fmt: skip
    typer.echo("Error: this is a bug in WhichPU, not your mistake.", err=True)
    try:
        with tempfile.NamedTemporaryFile("w", prefix="whichpu-bug-", suffix=".log", delete=False) as file:
            file.write(log)
        typer.echo(f"  Try: open an issue and paste {file.name}", err=True)
    except OSError:
        typer.echo(log, err=True)
    return EXIT_BUG


if __name__ == "__main__":
    main()

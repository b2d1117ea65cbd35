"""What a command leaves behind: its file, what it prints, and what it says when it is stopped."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from whichpu.errors import UserError

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch
    from whichpu.results.reported import Reported
    from whichpu.results.scenarios import ScenarioRun
    from whichpu.results.schema import Campaign
    from whichpu.results.together import TogetherRun

SUFFIX = ".whichpu.json"

# ---------------------------------------------------------------- files


@contextmanager
def destination(output: Path | None, default: str) -> Iterator[Path]:
    """``output``; else a new file, which goes again if nothing came to be stored in it."""
    if output is not None:
        yield output
        return
    path = free(Path(default))
    try:
        yield path
    finally:
        if empty(path):
            path.unlink()


def free(path: Path) -> Path:
    """Make an empty file of a name that is free, in one step: another campaign may look for one just now."""
    number, candidate = 2, path
    while True:
        try:
            candidate.open("xb").close()
            return candidate
        except FileExistsError:
            candidate = path.with_name(f"{path.name.removesuffix(SUFFIX)}-{number}{SUFFIX}")
            number += 1
        except OSError as problem:
            why = problem.strerror
            raise UserError(f"can't write {candidate}: {why}", "choose another place with -o") from problem


def empty(path: Path) -> bool:
    """Is a file there that only holds its name?"""
    return path.is_file() and not path.stat().st_size


def replaceable(page: Path, beginning: re.Pattern[bytes], kind: str, read: Sequence[Path]) -> None:
    """Refuse to write a page over what the command reads, or over a file of another kind."""
    from whichpu.results.writable import begins, spare

    spare(page, read)
    if page.is_dir() or (page.exists() and not begins(page, beginning)):
        raise UserError(f"{page} is there and is not {kind}, so it is not replaced", "name another file")


# ---------------------------------------------------------------- words


def tell(found: Campaign | ScenarioRun | TogetherRun | Reported, path: Path, as_json: bool, new: bool = True) -> None:
    """Print a campaign, a scenario, contenders at once or another tool's results: figures as tables, or as JSON."""
    from whichpu.reports import imported, scenarios, terminal, together
    from whichpu.results.reported import Reported
    from whichpu.results.schema import Campaign
    from whichpu.results.together import TogetherRun

    if as_json:
        print_json({"path": str(path), **_figures(found)})
        return
    screen = terminal.console()
    if isinstance(found, Campaign):
        terminal.show(found, screen)
    elif isinstance(found, Reported):
        imported.show(found, screen)
    elif isinstance(found, TogetherRun):
        together.show(found, screen)
    else:
        scenarios.show(found, screen)
    if new:
        what = {Campaign: "reading", TogetherRun: "window"}.get(type(found), "test")
        screen.print(f"Every {what} is in {path}; `whichpu report {path}` makes a page of it.", markup=False)


def tell_machines(campaigns: Sequence[Campaign], path: Path, as_json: bool, new: bool = True) -> None:
    """Print what one command measured: a campaign, or those of several machines one after the other."""
    from whichpu.reports import terminal
    from whichpu.results.fleet import name_of

    if len(campaigns) == 1:
        tell(campaigns[0], path, as_json, new)
        return
    if as_json:
        machines = [{"machine": name_of(campaign), **_figures(campaign)} for campaign in campaigns]
        print_json({"path": str(path), "machines": machines})
        return
    screen = terminal.console()
    for campaign in campaigns:
        screen.rule(name_of(campaign))
        terminal.show(campaign, screen)
    screen.print(f"`whichpu compare {path}` holds the machines against each other.", markup=False)


def _figures(found: Campaign | ScenarioRun | TogetherRun | Reported) -> dict[str, object]:
    from whichpu.reports import imported, together
    from whichpu.results import scenarios, summary, sustained
    from whichpu.results.reported import Reported
    from whichpu.results.schema import Campaign
    from whichpu.results.together import TogetherRun

    if isinstance(found, TogetherRun):
        return together.body(found)
    if isinstance(found, Reported):
        return imported.body(found)
    if not isinstance(found, Campaign):
        return {"rows": scenarios.summarize(found)}
    endured = sustained.outlook(found)
    return {"summaries": summary.summarize(found), **({} if endured is None else {"sustained": endured})}


def print_json(body: object) -> None:
    """Print for scripts."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n")


def nothing_measured(path: Path) -> UserError:
    """No row has a figure."""
    return UserError("no contender could be measured; each row says why", None, f"the rows are in {path}")


# ---------------------------------------------------------------- while it runs


@contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """Ctrl-C says what is kept before it ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {kept()}".rstrip(), err=True)
        raise


@contextmanager
def progress(rounds: int | None = None) -> Iterator[Watch | None]:
    """A live line where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from whichpu.campaign.wishes import ROUNDS_LEAST
    from whichpu.reports.progress import Progress

    shown = Progress(min(ROUNDS_LEAST, rounds or ROUNDS_LEAST))
    try:
        yield shown
    finally:
        shown.close()

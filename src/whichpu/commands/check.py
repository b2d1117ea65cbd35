"""``whichpu check``."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whichpu.commands import options
from whichpu.commands.output import interruptible, print_json, progress, replaceable
from whichpu.errors import EXIT_CHECK, UserError

if TYPE_CHECKING:
    from whichpu.api import Checked

XML = re.compile(rb"\s*<\?xml")
SUMMARY = re.compile(rb"### whichpu check")


def check(
    subject: Annotated[Path, typer.Argument(metavar="RESULT|MODEL", help="Campaign file, or a model to be measured.")],
    baseline: Annotated[list[Path] | None, options.file("Older campaign file; repeat for their spread.")] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OLD_MODEL", help="Measure this model too, side by side.")
    ] = None,
    against_python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Measure the runtimes of this environment too, side by side.")
    ] = None,
    on: Annotated[list[str] | None, options.target("Where, as for `whichpu run`.")] = None,
    data: Annotated[Path | None, options.file("Task (.toml) or samples (.npz).")] = None,
    shape: Annotated[list[str] | None, typer.Option(metavar="SIZES", help="Sizes of a dynamic input.")] = None,
    siblings: Annotated[bool, typer.Option(help="Use forms of the same stem beside the models.")] = True,
    budget: Annotated[str | None, options.time("Time at most for each contender (60s).")] = None,
    width: Annotated[str | None, options.percentage("Stop when each ratio is known to this (2%).")] = None,
    rounds: Annotated[int | None, options.number("Rounds at most.")] = None,
    threads: Annotated[int | None, options.number("Threads for every contender.")] = None,
    cpus: Annotated[str | None, options.values("Pin every contender to these CPUs.")] = None,
    loop: Annotated[
        str | None, typer.Option(metavar="LOOP", help="What times: native, python or auto, as for `whichpu run`.")
    ] = None,
    seed: Annotated[int | None, options.number("Seed of order and random data.", 0)] = None,
    timeout: Annotated[str | None, options.time("Silence that counts as hung (120s).")] = None,
    output: Annotated[Path | None, options.output("Campaign file to write when measuring.")] = None,
    overwrite: options.Overwrite = False,
    config: Annotated[Path | None, options.file("Limits (default: whichpu.toml here or above).")] = None,
    junit: Annotated[Path | None, options.file("Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, options.file("Write a Markdown summary.")] = None,
    as_json: options.Json = False,
) -> None:
    """Did it get worse? Exit code 2 if so: a campaign file against older ones, or a model beside the old one."""
    from whichpu import api

    read = [path for path in (subject, against, data, config, *(baseline or ())) if path is not None]
    for page, beginning, kind in ((junit, XML, "XML"), (markdown, SUMMARY, "of `whichpu check`")):
        if page is not None:
            if not page.parent.is_dir():
                raise UserError(f"there is no folder {page.parent}", f"mkdir -p {page.parent}")
            replaceable(page, beginning, kind, read)
    asked: dict[str, Any] = {
        "on": on,
        "data": data,
        "output": output,
        "shapes": options.shapes(shape) or None,
        "siblings": None if siblings else False,
        "threads": threads,
        "cpus": options.given(options.pinning, cpus),
        "budget_s": options.given(options.seconds, budget),
        "half_width": options.given(options.share, width),
        "rounds_most": rounds,
        "loop": loop,
        "seed": seed,
        "timeout_s": options.given(options.seconds, timeout),
        "overwrite": overwrite or None,
    }
    measuring = {name: value for name, value in asked.items() if value is not None}
    with ExitStack() as stack:
        if against is not None or against_python is not None:
            measuring |= {"against": against, "against_python": against_python}
            stack.enter_context(interruptible(lambda: _kept(output)))
            measuring["watch"] = stack.enter_context(progress(rounds))
        elif measuring:
            raise UserError(
                "stored files are compared as they are: options of a measurement have no effect",
                "leave them out, or measure both now with --against OLD_MODEL",
            )
        checked = api.check(subject, baseline=baseline or (), config=config, **measuring)
    _write_pages(checked, junit, markdown)
    _tell(checked, as_json)
    if not checked.passed:
        raise typer.Exit(EXIT_CHECK)


def _kept(output: Path | None) -> str:
    return f"The finished rounds are in {output}: `whichpu check {output}` judges them." if output else ""


def _write_pages(checked: Checked, junit: Path | None, markdown: Path | None) -> None:
    from whichpu.reports import regression
    from whichpu.results import store

    if junit is not None:
        store.write(junit, regression.junit(checked.verdicts))
    if markdown is not None:
        store.write(markdown, regression.markdown(checked.verdicts).encode())


def _tell(checked: Checked, as_json: bool) -> None:
    from whichpu.reports import regression

    if as_json:
        import msgspec

        rows = [msgspec.to_builtins(row) | {"says": regression.sentence(row)} for row in checked.verdicts]
        print_json({"verdicts": rows, "passed": checked.passed})
        return
    for sentence in checked.sentences:
        typer.echo(sentence)
    typer.echo(regression.conclusion(checked.verdicts))
    if checked.paths:
        typer.echo(f"Every reading is in {' and '.join(map(str, checked.paths))}.")

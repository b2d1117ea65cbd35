"""``whichpu together``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import SUFFIX, destination, interruptible, nothing_measured, progress, tell


def together(
    model: Annotated[Path, typer.Argument(help="Model file, as for `run`; every contender runs it, see --model.")],
    on: Annotated[
        list[str],
        options.target("A contender, as for `run`, and cpus=0 to pin it (cpus=0+2-3, cpus=all). Two at least."),
    ],
    own: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME=FILE", help="Another model for the contender called NAME."),
    ] = None,
    data: options.Data = None,
    output: Annotated[Path | None, options.output("Together file to write.")] = None,
    form: options.Forms = None,
    shape: options.ShapeTexts = None,
    siblings: options.Siblings = True,
    budget: Annotated[str, options.time("Time at most for all rounds.")] = "2m",
    width: Annotated[str, options.percentage("Stop when each slow-down is known to plus or minus this.")] = "2%",
    matters: Annotated[str, options.percentage("Smallest difference that matters.")] = "2%",
    rounds: Annotated[int | None, options.number("Rounds at most (5 at least, unless fewer here).")] = None,
    window: Annotated[str, options.time("Length of a window; longer for slow models.")] = "250ms",
    threads: Annotated[int, options.number("Threads for every contender alike.")] = 1,
    loop: Annotated[
        str, typer.Option(metavar="auto|native|python", help="Loop that times: native where every contender can.")
    ] = "auto",
    seed: Annotated[int | None, options.number("Seed of order and random data (default: drawn, stored).", 0)] = None,
    timeout: options.Timeout = "120s",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the together file in --output.")] = False,
    as_json: options.Json = False,
) -> None:
    """Run contenders on several units at once: the slow-down that each causes the others, and whether it pays."""
    from whichpu import api

    with (
        destination(output, f"{model.stem}.together{SUFFIX}") as path,
        interruptible(lambda: _kept(path)),
        progress() as watch,
    ):
        outcome = api.together(
            model,
            on,
            models=options.named("--model", own, "names no contender and its model", "NAME=FILE"),
            data=data,
            forms=form or (),
            shapes=options.shapes(shape),
            siblings=siblings,
            output=path,
            overwrite=overwrite or output is None,
            budget_s=options.seconds(budget),
            half_width=options.share(width),
            matters=options.share(matters),
            rounds_most=rounds,
            window_s=options.seconds(window),
            threads=threads,
            loop=loop,
            seed=seed,
            timeout_s=options.seconds(timeout),
            watch=watch,
        )
    tell(outcome.run, path, as_json)
    if outcome.outcome.joint is None:
        raise nothing_measured(path)


def _kept(path: Path) -> str:
    from whichpu.results import joint, together
    from whichpu.results.writable import is_one

    rounds = len(joint.rounds_of(together.load(path))) if is_one(path, "together") else 0
    kept = f"{rounds} round{'s are' if rounds > 1 else ' is'} kept in {path}."
    return kept if rounds else "No round was finished yet; nothing was measured."

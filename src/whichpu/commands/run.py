"""``whichpu run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import SUFFIX, destination, empty, interruptible, nothing_measured, progress, tell_machines
from whichpu.errors import EXIT_CHECK, UserError


def run(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx, .pt2, .tflite, .xml, .param or .mnn.")],
    on: Annotated[
        list[str] | None,
        options.target(
            "Where to run: `all` (the default) or BACKEND[:DEVICE][@BOARD], then any [,OPTION=VALUE]. Repeat for more.",
        ),
    ] = None,
    data: options.Data = None,
    output: Annotated[Path | None, options.output("Campaign file to write.")] = None,
    form: options.Forms = None,
    shape: options.ShapeTexts = None,
    siblings: options.Siblings = True,
    variants: Annotated[
        str | None,
        options.values("Precisions to make and measure: fp32 (as given), fp16, int8, int8-per-tensor, ..."),
    ] = None,
    budget: Annotated[str, options.time("Time at most for each contender.")] = "60s",
    width: Annotated[str, options.percentage("Stop when each ratio is known to plus or minus this.")] = "2%",
    matters: Annotated[str, options.percentage("Smallest difference that matters.")] = "2%",
    rounds: Annotated[int | None, options.number("Rounds at most (5 at least, unless fewer here).")] = None,
    threads: Annotated[int, options.number("Threads for every contender alike.")] = 1,
    cpus: Annotated[
        str, options.values("Pin every contender to these CPUs: 0,2-3, auto (one a thread) or all.")
    ] = "auto",
    loop: Annotated[
        str,
        typer.Option(
            metavar="auto|native|python",
            help="Loop that times: native sees what a C++ application sees; auto takes it when every contender can.",
        ),
    ] = "auto",
    seed: Annotated[int | None, options.number("Seed of order and random data (default: drawn, stored).", 0)] = None,
    sustained: Annotated[
        str | None, options.time("After the rounds, run each contender alone and without a pause for TIME.")
    ] = None,
    meters: Annotated[
        str,
        typer.Option(
            metavar="auto|windows|off",
            help="Read sensors in windows of their own: where one tells power (auto), or for another's log too.",
        ),
    ] = "auto",
    meter_window: Annotated[
        str | None, options.time("Length of such a window (default: what the slowest sensor needs).")
    ] = None,
    power_limit: Annotated[str | None, options.power("Count the time that a contender takes more: 15W.")] = None,
    fail_on_fallback: Annotated[
        bool,
        typer.Option("--fail-on-fallback", help="Refuse what runs on another unit than asked, even in part; exit 2."),
    ] = False,
    timeout: options.Timeout = "120s",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the campaign in --output.")] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Measure MODEL on every runtime within reach, fairly, and store every reading."""
    from whichpu.api import measure

    if resume and output is None:
        raise UserError("--resume needs the campaign file", "name it with -o FILE")
    with (
        destination(output, f"{model.stem}{SUFFIX}") as path,
        interruptible(lambda: kept(path)),
        progress(rounds) as watch,
    ):
        outcome = measure(
            model,
            on or ["all"],
            data=data,
            forms=form or (),
            shapes=options.shapes(shape),
            siblings=siblings,
            variants=[name.strip() for name in variants.split(",")] if variants is not None else (),
            output=path,
            resume=resume,
            overwrite=overwrite or output is None,
            budget_s=options.seconds(budget),
            half_width=options.share(width),
            matters=options.share(matters),
            rounds_most=rounds,
            threads=threads,
            cpus=options.pinning(cpus),
            loop=loop,
            seed=seed,
            sustained_s=options.given(options.seconds, sustained),
            meters=meters,
            meter_window_s=options.given(options.seconds, meter_window),
            power_limit_w=options.given(options.watts, power_limit),
            fail_on_fallback=fail_on_fallback,
            timeout_s=options.seconds(timeout),
            watch=watch,
        )
    tell_machines(outcome.campaigns, path, as_json)
    fell_back = [row.name for campaign in outcome.campaigns for row in campaign.results if row.fell_back]
    if fail_on_fallback and fell_back:
        typer.echo(f"Fell back to another unit: {', '.join(fell_back)}.", err=True)
        raise typer.Exit(EXIT_CHECK)
    rows = [row for machine in outcome.machines for row in machine.figures]
    asked = [row for row in rows if not row.yardstick] or rows
    if all(row.median_ns is None for row in asked):
        raise nothing_measured(path)


def kept(path: Path) -> str:
    """What a stopped run leaves behind, in words."""
    from whichpu.results.fleet import campaigns_of

    rounds = sustained = 0
    if path.exists() and not empty(path):
        results = [result for campaign in campaigns_of(path) for result in campaign.results]
        rounds = max((len(result.readings) for result in results), default=0)
        sustained = sum(result.sustained is not None for result in results)
    if not rounds:
        return "No round was finished yet; nothing was measured."
    finished = "1 finished round" if rounds == 1 else f"{rounds} finished rounds"
    if sustained:
        finished += f" and {sustained} sustained run{'s' * (sustained > 1)}"
    are = "is" if finished == "1 finished round" else "are"
    return f"{finished} {are} kept in {path}; the same command with -o {path} --resume goes on."

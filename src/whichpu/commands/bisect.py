"""``whichpu bisect``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import interruptible, print_json, progress


def bisect(
    model: Annotated[Path, typer.Argument(help="ONNX file to look into.")],
    on: Annotated[
        list[str] | None,
        options.target("Target to look at; held against one named before it, else ONNX Runtime on the CPU."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OTHER.onnx", help="Hold MODEL against this form of the network.")
    ] = None,
    data: options.Data = None,
    shape: options.ShapeTexts = None,
    samples: Annotated[int, options.number("Samples to run.")] = 4,
    bound: Annotated[
        float, typer.Option(metavar="ERROR", min=0.0, help="Relative L2 error that counts as differing.")
    ] = 1e-3,
    seed: Annotated[int, options.number("Seed of random data.", 0)] = 0,
    timeout: options.Timeout = "120s",
    as_json: options.Json = False,
) -> None:
    """Why did it change? The first layer where two runtimes or two forms of a model differ, and which one makes it."""
    from whichpu import api
    from whichpu.reports import bisect as report
    from whichpu.reports import terminal

    with interruptible(lambda: "Nothing is kept of a bisection."), progress() as watch:
        found = api.bisect(
            model,
            on or (),
            against=against,
            data=data,
            shapes=options.shapes(shape),
            samples=samples,
            bound=bound,
            seed=seed,
            timeout_s=options.seconds(timeout),
            watch=watch,
        )
    if as_json:
        import msgspec

        print_json(msgspec.to_builtins(found) | {"says": report.sentences(found)})
    else:
        report.show(found, terminal.console())

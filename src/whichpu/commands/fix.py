"""``whichpu fix``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json
from whichpu.errors import EXIT_CHECK

if TYPE_CHECKING:
    from whichpu.api.fixing import Fixed


def fix(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="ONNX file; it is never changed.")],
    npu: Annotated[
        str,
        typer.Option(
            metavar="TARGET", help="NPU or DLA, NAME[:option=value,...]; `whichpu analyze --list` names them."
        ),
    ],
    apply: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Remedy to apply; repeat for more. Without it those that gain are listed."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Refuse what changes the answer.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT.onnx", help="The rewritten model.")
    ] = None,
    data: Annotated[Path | None, options.file("Task (.toml) or samples (.npz) to compare both models on too.")] = None,
    shape: options.ShapeTexts = None,
    seed: Annotated[int, options.number("Seed of random data.", 0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in --output.")] = False,
    timeout: options.Timeout = "120s",
    as_json: options.Json = False,
) -> None:
    """Rewrite a model so that the NPU takes more of it. Exact rewrites are proven by running both models."""
    from whichpu.api.fixing import fix as fixed

    found = fixed(
        model,
        npu,
        apply=apply or (),
        exact=exact,
        output=output,
        data=data,
        shapes=options.shapes(shape) or None,
        seed=seed,
        timeout_s=options.seconds(timeout),
        overwrite=overwrite,
    )
    if as_json:
        print_json(_body(found))
    else:
        from whichpu.reports import fixing, terminal

        fixing.show(found, terminal.console())
    if found.refused:
        typer.echo(f"Error: {found.refused}", err=True)
        raise typer.Exit(EXIT_CHECK)


def _body(found: Fixed) -> dict[str, Any]:
    """What ``--json`` prints; an infinite difference is null, as JSON has none."""
    return {
        "model": found.model.name,
        "npu": found.npu,
        "before": found.before,
        "after": found.after,
        "proposals": found.proposals,
        "applied": found.applied,
        "proof": found.proof,
        "holds": found.proof.holds if found.proof is not None else None,
        "delta": found.delta,
        "written": str(found.written) if found.written is not None else None,
        "refused": found.refused,
        "notes": found.notes,
    }

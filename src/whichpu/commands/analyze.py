"""``whichpu analyze``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whichpu.commands import options
from whichpu.commands.output import print_json, replaceable
from whichpu.errors import EXIT_CHECK, EXIT_USER, UserError

if TYPE_CHECKING:
    from whichpu.api.analysing import Analysed

PAGES = {
    ".html": (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE), "an HTML page"),
    ".md": (re.compile(rb"# What the NPU takes"), "a page of `whichpu analyze`"),
    ".json": (re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.analysis/'), "a file of `whichpu analyze`"),
}
"""What may be written, and how a file begins that may be replaced."""


def analyze(
    models: Annotated[
        list[Path] | None, typer.Argument(metavar="MODEL...", help="ONNX, TFLite, TVM Relay text, or HEF; not run.")
    ] = None,
    npu: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET", help="NPU or DLA, NAME[:option=value,...] (see --list), or `all`; repeat for more."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every target that WhichPU has a table of.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List the targets and their options.")] = False,
    shape: options.ShapeTexts = None,
    ask: Annotated[bool, typer.Option(help="Ask the vendor's compiler where it is installed.")] = True,
    remedies: Annotated[bool, typer.Option(help="Try what would let the target take more.")] = True,
    operators: Annotated[bool, typer.Option("--operators", help="Print each operator too.")] = False,
    min_mac_share: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Exit 2 if less of the MACs is taken: 0.95 or 95%.")
    ] = None,
    fail_on_fallback: Annotated[
        bool, typer.Option("--fail-on-fallback", help="Exit 2 if any operator is not taken.")
    ] = False,
    output: Annotated[Path | None, options.file_to_write("Write a page: FILE.html, .md or .json.")] = None,
    model_explorer: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write node data for Google's Model Explorer there.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """What will the NPU take, what falls back, why, and what does it cost? Nothing is run."""
    wanted = [*(npu or []), *(["all"] if every else [])]
    if not listed and models and _compiled(models):
        _describe(models, wanted, [output, model_explorer], as_json)
        return
    if listed or not models or not wanted:
        _list(as_json, missing=None if listed else "a model" if not models else "a target: --npu NAME, or --all")
        return
    _writable(output, model_explorer, models)
    from whichpu.api.analysing import analyze as analysed

    found = analysed(
        list(models),
        wanted,
        shapes=options.shapes(shape) or None,
        ask=ask,
        propose=remedies,
        min_mac_share=None if min_mac_share is None else _share(min_mac_share),
        fail_on_fallback=fail_on_fallback,
    )
    _write(found, output, model_explorer)
    _tell(found, as_json, operators)
    if found.bugs:
        raise ExceptionGroup("analyses that failed", found.bugs)  # told and logged as every bug is: exit 3
    if found.refusals or found.unmet:
        raise typer.Exit(EXIT_USER if found.refusals else EXIT_CHECK)


def _compiled(models: list[Path]) -> bool:
    from whichpu.graphs.compiled import form_of

    return any(form_of(model) for model in models)


def _describe(models: list[Path], wanted: list[str], files: list[Path | None], as_json: bool) -> None:
    """Files that are compiled already: nothing is left to place, so what they hold is told."""
    from whichpu.api.describing import describe
    from whichpu.reports import compiled

    found = describe(models)
    if wanted or any(files):
        what = "--npu" if wanted else "a page"
        raise UserError(
            f"{models[0]} is compiled: what the NPU takes is decided, and {what} is for models before that",
            f"whichpu analyze {models[0]}, or with --json",
        )
    if as_json:
        print_json(found)
    else:
        from whichpu.reports import terminal

        compiled.show(found, terminal.console())
    refusals = compiled.refusals(found)
    for says in refusals:
        typer.echo(f"Error: {says}", err=True)
    if refusals:
        raise typer.Exit(EXIT_USER)


def _list(as_json: bool, missing: str | None) -> None:
    from whichpu.graphs.capability import tables
    from whichpu.reports.analysis_targets import rows, show

    if as_json:
        print_json({"npus": rows(tables())})
    else:
        from whichpu.reports import terminal

        show(tables(), terminal.console())
    if missing is not None:
        example = "whichpu analyze model.onnx --npu ethos-u55"
        raise UserError(f"give {missing}; the targets are listed above", example)


def _share(text: str) -> float:
    """``0.95`` or ``95%``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(%?)", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= value <= 1:
        raise UserError(f"--min-mac-share {text} is not a share", "write it as 0.95 or 95%")
    return value


def _writable(output: Path | None, folder: Path | None, models: list[Path]) -> None:
    """Refuse what could not be written before any work is done."""
    if output is not None:
        if output.suffix.lower() not in PAGES:
            raise UserError(f"{output} could be of any kind", "name it FILE.html, FILE.md or FILE.json")
        if not output.parent.is_dir():
            raise UserError(f"there is no folder {output.parent}", f"mkdir -p {output.parent}")
        replaceable(output, *PAGES[output.suffix.lower()], models)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file", "name a folder for --model-explorer")


def _write(found: Analysed, output: Path | None, folder: Path | None) -> None:
    from whichpu.results import store

    if output is not None:
        store.write(output, _page(found, output.suffix.lower()))
        typer.echo(f"Wrote {output}", err=True)
    if folder is not None:
        from whichpu.reports import model_explorer

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise UserError(f"can't make {folder}: {problem.strerror}", "name another folder") from problem
        for name, data in model_explorer.files(found.analyses).items():
            store.write(folder / name, data)
        typer.echo(model_explorer.opening(folder), err=True)


def _page(found: Analysed, suffix: str) -> bytes:
    if suffix == ".json":
        import msgspec

        return msgspec.json.format(msgspec.json.encode(found.document()), indent=2) + b"\n"
    if suffix == ".md":
        from whichpu.reports import analysis

        return analysis.markdown(found.analyses).encode()
    from whichpu.reports import analysis_html

    return analysis_html.page(found.analyses).encode()


def _tell(found: Analysed, as_json: bool, operators: bool) -> None:
    if as_json:
        print_json(found.document())
    else:
        from whichpu.reports import analysis, terminal

        analysis.show(found.analyses, terminal.console(), operators=operators)
    for says in found.unmet:
        typer.echo(f"Check: {says}", err=True)
    for says in found.refusals:
        typer.echo(f"Error: {says}", err=True)

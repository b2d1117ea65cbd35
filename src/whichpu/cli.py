"""The command line. Each command reads as the journey of its data; nothing heavy is imported before it is needed."""

from __future__ import annotations

import codecs
import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whichpu import __version__
from whichpu.errors import EXIT_BUG, EXIT_CHECK, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER, UserError

if TYPE_CHECKING:
    from whichpu.campaign.watch import Watch

app = typer.Typer(
    name="whichpu",
    help="Measure a trained model on every runtime and processing unit within reach, and say which to ship on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help answers in a third of the time
)
TARGETS = ("all", "onnxruntime:cpu", "openvino:cpu", "openvino:cpu,precision=default", "opencv:cpu", "torch:cpu",
           "litert:cpu", "ncnn:cpu", "mnn:cpu", "null:cpu")  # fmt: skip
COMMANDS = ("devices", "doctor", "run", "scenario", "show", "compare", "report", "check")
CAMPAIGN = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.campaign/')
SCENARIO = re.compile(rb'\s*\{\s*"schema"\s*:\s*"whichpu\.scenario/')
XML = re.compile(rb"\s*<\?xml")
SUMMARY = re.compile(rb"### whichpu check")
HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", re.IGNORECASE)
UNITS_S = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "m": 60.0, "min": 60.0, "h": 3600.0}

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Baseline = Annotated[str | None, typer.Option(help="Contender to compare with (default: the fastest).")]


def seconds(text: str) -> float:
    """``60s``, ``2m``, ``1.5h`` or plain seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|min|m|h)?", text.strip())
    if not found or float(found[1]) <= 0:
        raise UserError(f"{text!r} is not a time", "write it as 60s, 2m or 1h")
    return float(found[1]) * UNITS_S[found[2] or ""]


def share(text: str) -> float:
    """``2%`` as 0.02."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if not found or not 0 < float(found[1]) < 100:
        raise UserError(f"{text!r} is not a percentage", "write it as 2%")
    return float(found[1]) / 100


def numbers(option: str, text: str) -> tuple[int, ...]:
    """``1,8,32`` as ``(1, 8, 32)``, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch(r"0*[1-9]\d{0,5}", part) for part in parts):
        raise UserError(f"{option} {text} is not a list of positive numbers", f"write it as {option} 1,2,4")
    return tuple(dict.fromkeys(map(int, parts)))


def pinning(text: str) -> tuple[int, ...] | None:
    """CPUs to pin to: ``auto`` as ``None`` (WhichPU chooses), ``all`` as none at all, else a list."""
    return {"auto": None, "all": ()}[text] if text in ("auto", "all") else cpu_list(text)


def cpu_list(text: str | None) -> tuple[int, ...]:
    """``0,2-3`` as ``(0, 2, 3)``."""
    if text is None:
        return ()
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not ends or (ends[2] and int(ends[2]) < int(ends[1])):
            raise UserError(f"--cpus {text} is not a list of CPUs", "write it as --cpus 0,2-3")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    absent = [cpu for cpu in found if cpu not in usable]
    if absent:
        raise UserError(f"--cpus {text}: CPU {absent[0]} can't be used here", f"usable: {sorted(usable)}")
    return tuple(found)


@app.command()
def devices(
    python: Annotated[list[str] | None, typer.Option(help="Look into this environment or interpreter too.")] = None,
    as_json: Json = False,
) -> None:
    """List what can run here, and for the rest why not and the one command that would change it."""
    from whichpu.campaign.plan import targets_within_reach
    from whichpu.reports import terminal

    found = targets_within_reach(python or [])
    if as_json:
        _print_json({"targets": found})
    else:
        terminal.devices(found, terminal.console())


@app.command()
def doctor(
    cpus: Annotated[str | None, typer.Option(metavar="LIST", help="CPUs that will be measured: 0,2-3.")] = None,
    as_json: Json = False,
) -> None:
    """Look for what will make figures noisy on this machine, and say how to quiet it."""
    from whichpu.campaign.doctor import examine
    from whichpu.reports import doctor as report
    from whichpu.reports import terminal

    found = examine(cpu_list(cpus))
    if as_json:
        _print_json(found)
    else:
        report.show(found, terminal.console())


@app.command()
def run(
    model: Annotated[Path, typer.Argument(help="Model file: .onnx, .pt2, .tflite, .xml, .param or .mnn.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]TARGET",
            help="Where to run: `all` (the default) or BACKEND[:DEVICE], then any [,OPTION=VALUE]. Repeat for more.",
            autocompletion=lambda: list(TARGETS),
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Task (.toml) or samples (.npz). Default: seeded random.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Campaign file to write.")
    ] = None,
    form: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Another file form of the same network.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="SIZES", help="Sizes of a dynamic input: NAME=1x3x224x224.")
    ] = None,
    siblings: Annotated[bool, typer.Option(help="Use forms of the same stem beside MODEL.")] = True,
    budget: Annotated[str, typer.Option(metavar="TIME", help="Time at most for each contender.")] = "60s",
    width: Annotated[
        str, typer.Option(metavar="PERCENT", help="Stop when each ratio is known to plus or minus this.")
    ] = "2%",
    matters: Annotated[str, typer.Option(metavar="PERCENT", help="Smallest difference that matters.")] = "2%",
    rounds: Annotated[
        int | None, typer.Option(metavar="N", help="Rounds at most (5 at least, unless fewer here).", min=1)
    ] = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads for every contender alike.", min=1)] = 1,
    cpus: Annotated[
        str, typer.Option(metavar="LIST", help="Pin every contender to these CPUs: 0,2-3, auto (one a thread) or all.")
    ] = "auto",
    loop: Annotated[
        str,
        typer.Option(
            metavar="auto|native|python",
            help="Loop that times: native sees what a C++ application sees; auto takes it when every contender can.",
        ),
    ] = "auto",
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Seed of order and random data (default: drawn, stored).", min=0)
    ] = None,
    sustained: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="After the rounds, run each contender alone and without a pause for TIME."),
    ] = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Silence after which a worker counts as hung.")] = "120s",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the campaign in --output.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the campaign file in --output.")] = False,
    as_json: Json = False,
) -> None:
    """Measure MODEL on every runtime within reach, fairly, and store every reading."""
    from whichpu.api import measure
    from whichpu.models.artefact import shape_option

    read = [model, *(form or ()), *([data] if data is not None else ())]
    path = _output(model, output, resume, overwrite, read)
    made = output is None
    with _interruptible(path), _no_empty_file(path, made), _progress(rounds) as watch:
        outcome = measure(
            model,
            on or ["all"],
            data=data,
            forms=form or (),
            shapes=dict(shape_option(text) for text in shape or ()),
            siblings=siblings,
            output=path,
            resume=resume,
            overwrite=overwrite or made,
            budget_s=seconds(budget),
            half_width=share(width),
            matters=share(matters),
            rounds_most=rounds,
            threads=threads,
            cpus=pinning(cpus),
            loop=loop,
            seed=seed,
            sustained_s=None if sustained is None else seconds(sustained),
            timeout_s=seconds(timeout),
            watch=watch,
        )
    _tell(outcome.campaign, path, as_json)
    asked = [row for row in outcome.figures if not row.yardstick] or outcome.figures
    if all(row.median_ns is None for row in asked):
        raise UserError("no contender could be measured; each row says why", None, f"the rows are in {path}")


@app.command()
def scenario(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO",
            help="SingleStream, MultiStream, Server or Offline.",
            autocompletion=lambda: ["SingleStream", "MultiStream", "Server", "Offline"],
        ),
    ],
    model: Annotated[Path, typer.Argument(help="Model file, as for `run`.")],
    on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]TARGET",
            help="Where to run, as for `run`. Repeat for more.",
            autocompletion=lambda: list(TARGETS),
        ),
    ] = None,
    bound: Annotated[
        str | None, typer.Option(metavar="TIME", help="Server: p99 of the latency must stay below this, as 5ms.")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="LIST", help="Samples in one runtime call: 1,8,32.")] = "1",
    threads: Annotated[str, typer.Option(metavar="LIST", help="Threads of each session: 1,2.")] = "1",
    streams: Annotated[str, typer.Option(metavar="LIST", help="Sessions side by side: 1,2.")] = "1",
    samples_per_query: Annotated[
        int | None, typer.Option(metavar="N", help="MultiStream: samples in one query (default: 8).", min=1)
    ] = None,
    duration: Annotated[str, typer.Option(metavar="TIME", help="Least length of one test.")] = "3s",
    budget: Annotated[str, typer.Option(metavar="TIME", help="Server: time at most for each search.")] = "5m",
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Task (.toml) or samples (.npz). Default: seeded random.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Scenario file to write.")
    ] = None,
    form: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Another file form of the same network.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(metavar="SIZES", help="Sizes of a dynamic input: NAME=1x3x224x224.")
    ] = None,
    siblings: Annotated[bool, typer.Option(help="Use forms of the same stem beside MODEL.")] = True,
    cpus: Annotated[str | None, typer.Option(metavar="LIST", help="Pin every contender to these CPUs: 0,2-3.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of all that is drawn.", min=0)] = None,
    timeout: Annotated[str, typer.Option(metavar="TIME", help="Silence after which a worker counts as hung.")] = "120s",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the scenario file in --output.")] = False,
    as_json: Json = False,
) -> None:
    """Run MODEL in one of MLPerf's scenarios on MLCommons' LoadGen; Server finds the highest rate that holds."""
    from whichpu.api import scenario as run_scenario
    from whichpu.models.artefact import shape_option

    read = [model, *(form or ()), *([data] if data is not None else ())]
    made = output is None
    default = Path(f"{model.stem}.{name.lower()}.whichpu.json")
    path = _free(default) if output is None else _writable(output, default.name, overwrite, read, SCENARIO)
    with _no_empty_file(path, made), _stoppable(path), _progress(None) as watch:
        outcome = run_scenario(
            name,
            model,
            on or ["all"],
            bound_s=seconds(bound) if bound is not None else None,
            batches=numbers("--batch", batch),
            threads=numbers("--threads", threads),
            streams=numbers("--streams", streams),
            samples_per_query=samples_per_query,
            duration_s=seconds(duration),
            budget_s=seconds(budget),
            data=data,
            forms=form or (),
            shapes=dict(shape_option(text) for text in shape or ()),
            siblings=siblings,
            output=path,
            overwrite=overwrite or made,
            cpus=cpu_list(cpus),
            seed=seed,
            timeout_s=seconds(timeout),
            watch=watch,
        )
    _tell_scenario(outcome.run, path, as_json)
    if not any(row.probes for row in outcome.rows):
        raise UserError("no contender could be measured; each row says why", None, f"the rows are in {path}")


@app.command()
def show(
    result: Annotated[Path, typer.Argument(help="Campaign file that `whichpu run` wrote, or a scenario file.")],
    as_json: Json = False,
) -> None:
    """Show the figures of a campaign file or a scenario file."""
    from whichpu.results import scenarios, store

    if scenarios.is_one(result):
        _tell_scenario(scenarios.load(result), result, as_json, stored=False)
        return
    _tell(store.load(result), result, as_json, stored=False)


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Campaign files.")],
    baseline: Baseline = None,
    as_json: Json = False,
) -> None:
    """Compare contenders: ratios with intervals and verdicts; a tie is an answer."""
    from whichpu.reports import terminal
    from whichpu.results import comparison, store

    campaigns = [(str(path), store.load(path)) for path in results]
    rows = [row for _, campaign in campaigns for row in comparison.compare(campaign, baseline)]
    rows += comparison.across(campaigns)
    if as_json:
        _print_json({"comparisons": rows})
    elif not rows:
        typer.echo("Nothing to compare: it takes two contenders with figures.")
    else:
        terminal.comparisons(rows, terminal.console())


@app.command()
def report(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Campaign files and scenario files.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file to write.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write an HTML report that needs no network."""
    from whichpu.reports import html
    from whichpu.results import scenarios, store

    _spare(output, results)
    if output.exists() and not output.is_dir() and not _begins(output, HTML):
        raise UserError(
            f"{output} is there and is not an HTML page, so it is not replaced", "name another file: -o FILE"
        )
    page = html.page([(path.name, scenarios.load_any(path)) for path in results])
    store.write(output, page.encode())
    _print_json({"path": str(output)}) if as_json else typer.echo(f"Wrote {output}")


@app.command()
def check(
    subject: Annotated[Path, typer.Argument(metavar="RESULT|MODEL", help="Campaign file, or a model to be measured.")],
    baseline: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Older campaign file; repeat for their spread.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="OLD_MODEL", help="Measure this model too, side by side.")
    ] = None,
    against_python: Annotated[
        str | None, typer.Option(metavar="PYTHON", help="Measure the runtimes of this environment too, side by side.")
    ] = None,
    on: Annotated[list[str] | None, typer.Option(metavar="[NAME=]TARGET", help="Where, as for `whichpu run`.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Task (.toml) or samples (.npz).")] = None,
    shape: Annotated[list[str] | None, typer.Option(metavar="SIZES", help="Sizes of a dynamic input.")] = None,
    siblings: Annotated[bool, typer.Option(help="Use forms of the same stem beside the models.")] = True,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Time at most for each contender (60s).")] = None,
    width: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Stop when each ratio is known to this (2%).")
    ] = None,
    rounds: Annotated[int | None, typer.Option(metavar="N", help="Rounds at most.", min=1)] = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads for every contender.", min=1)] = None,
    cpus: Annotated[str | None, typer.Option(metavar="LIST", help="Pin every contender to these CPUs.")] = None,
    loop: Annotated[
        str | None, typer.Option(metavar="LOOP", help="What times: native, python or auto, as for `whichpu run`.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of order and random data.", min=0)] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Silence that counts as hung (120s).")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Campaign file to write when measuring.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the campaign file in --output.")] = False,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Limits (default: whichpu.toml here or above).")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a Markdown summary.")] = None,
    as_json: Json = False,
) -> None:
    """Did it get worse? Exit code 2 if so: a campaign file against older ones, or a model beside the old one."""
    from whichpu import api
    from whichpu.models.artefact import shape_option
    from whichpu.reports import regression

    read = [path for path in (subject, against, data, config, *(baseline or ())) if path is not None]
    for page, begins, kind in ((junit, XML, "XML"), (markdown, SUMMARY, "of `whichpu check`")):
        if page is not None:
            _replaceable(page, begins, kind, read)
    measuring: dict[str, Any] = {
        "on": on,
        "data": data,
        "output": output,
        "shapes": dict(shape_option(text) for text in shape or ()) or None,
        "threads": threads,
        "cpus": None if cpus is None else pinning(cpus),
        "budget_s": seconds(budget) if budget else None,
        "half_width": share(width) if width else None,
        "rounds_most": rounds,
        "loop": loop,
        "seed": seed,
        "timeout_s": seconds(timeout) if timeout else None,
    }
    measuring = {name: value for name, value in measuring.items() if value is not None}
    if against is None and against_python is None:
        if measuring or overwrite or not siblings:
            raise UserError(
                "stored files are compared as they are: options of a measurement have no effect",
                "leave them out, or measure both now with --against OLD_MODEL",
            )
        checked = api.check(subject, baseline=baseline or (), config=config)
    else:
        if output is not None:
            _output(subject, output, False, overwrite, read)
        measuring |= {"against": against, "against_python": against_python, "siblings": siblings}
        with _judged_later(output), _progress(rounds) as watch:
            checked = api.check(
                subject, baseline=baseline or (), config=config, overwrite=overwrite, watch=watch, **measuring
            )
    _write_pages(checked.verdicts, junit, markdown)
    if as_json:
        import msgspec

        rows = [msgspec.to_builtins(row) | {"says": regression.sentence(row)} for row in checked.verdicts]
        _print_json({"verdicts": rows, "passed": checked.passed})
    else:
        for sentence in checked.sentences:
            typer.echo(sentence)
        typer.echo(regression.conclusion(checked.verdicts))
        if checked.paths:
            typer.echo(f"Every reading is in {' and '.join(map(str, checked.paths))}.")
    if not checked.passed:
        raise typer.Exit(EXIT_CHECK)


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Options before the command."""
    if version:
        typer.echo(f"whichpu {__version__}")
        raise typer.Exit


def main() -> None:
    """The console script: every error becomes a sentence and the right exit code."""
    _streams()
    sys.exit(guarded(sys.argv[1:]))


def guarded(arguments: list[str]) -> int:
    """Run the command line; return its exit code (Typer turns Ctrl-C into 130)."""
    from typer.exceptions import TyperException

    try:
        status = app(args=arguments, prog_name="whichpu", standalone_mode=False)
        return status if isinstance(status, int) else EXIT_OK
    except UserError as problem:
        _say(problem)
        return EXIT_USER
    except TyperException as problem:
        named = [name for name in arguments[:1] if name in COMMANDS]
        if arguments:
            _say(UserError(problem.format_message(), " ".join(["whichpu", *named, "--help"])))
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


@contextmanager
def _judged_later(output: Path | None) -> Iterator[None]:
    """Ctrl-C says what is kept before it ends a check."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f" The finished rounds are in {output}: `whichpu check {output}` judges them." if output else ""
        typer.echo(f"Stopped.{kept}", err=True)
        raise


def _write_pages(verdicts: Sequence[Any], junit: Path | None, markdown: Path | None) -> None:
    from whichpu.reports import regression
    from whichpu.results import store

    if junit is not None:
        store.write(junit, regression.junit(verdicts))
    if markdown is not None:
        store.write(markdown, regression.markdown(verdicts).encode())


def _replaceable(page: Path, begins: re.Pattern[bytes], kind: str, read: Sequence[Path]) -> None:
    """Refuse to write over what the command reads, or over a file of another kind."""
    _spare(page, read)
    if not page.parent.is_dir():
        raise UserError(f"there is no folder {page.parent}", f"mkdir -p {page.parent}")
    if page.is_dir() or (page.exists() and not _begins(page, begins)):
        raise UserError(f"{page} is there and is not {kind}, so it is not replaced", "name another file")


def _output(model: Path, output: Path | None, resume: bool, overwrite: bool, read: Sequence[Path]) -> Path:
    """Where the campaign goes. Raises :class:`UserError` for a place that must not or can't be written."""
    if resume and overwrite:
        raise UserError("--resume goes on with a file, --overwrite replaces it", "give one of them")
    if output is None:
        if resume:
            raise UserError("--resume needs the campaign file", "name it with -o FILE")
        return _free(Path(f"{model.stem}.whichpu.json"))
    if resume and not output.exists():
        raise UserError(f"there is no {output} to go on with", "leave out --resume to begin")
    return _writable(output, f"{model.stem}.whichpu.json", overwrite, read, CAMPAIGN)


def _writable(output: Path, example: str, overwrite: bool, read: Sequence[Path], kind: re.Pattern[bytes]) -> Path:
    """``output``, unless it must not or can't be written: only a file of its own kind is replaced."""
    if output.is_dir():
        raise UserError(f"{output} is a folder", f"name a file in it: -o {output / example}")
    if not output.parent.is_dir():
        raise UserError(f"there is no folder {output.parent}", f"mkdir -p {output.parent}")
    _spare(output, read)
    if overwrite and output.exists() and not _begins(output, kind):
        what = "scenario" if kind is SCENARIO else "campaign"
        raise UserError(f"{output} is not a {what} file; --overwrite replaces no other", "name another file: -o FILE")
    return output


def _spare(output: Path, read: Sequence[Path]) -> None:
    """Refuse to write over what the command reads."""
    for path in read:
        try:
            same = path.samefile(output)
        except OSError:  # one of them is not there, or can't be looked at: who reads it will say so
            continue
        if same:
            raise UserError(f"-o {output} would replace {path}, which this command reads", "name another file: -o FILE")


def _begins(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Does a file begin as ``pattern`` says? An empty one may become anything; a device is no file."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(4096)
    except OSError as problem:
        raise UserError(f"can't read {path}: {problem.strerror}", "name another file: -o FILE") from problem
    return not beginning or pattern.match(beginning) is not None


def _free(path: Path) -> Path:
    """Make an empty file of a name that is free, in one step: another campaign may look for one just now."""
    number, candidate = 2, path
    while True:
        try:
            candidate.open("xb").close()
            return candidate
        except FileExistsError:
            candidate = path.with_name(f"{path.name.removesuffix('.whichpu.json')}-{number}.whichpu.json")
            number += 1
        except OSError as problem:
            why = problem.strerror
            raise UserError(f"can't write {candidate}: {why}", "choose another place with -o") from problem


@contextmanager
def _no_empty_file(path: Path, made: bool) -> Iterator[None]:
    """A file that was made to hold its name goes again if nothing came to be stored in it."""
    try:
        yield
    finally:
        if made and path.is_file() and not path.stat().st_size:
            path.unlink()


@contextmanager
def _progress(rounds: int | None) -> Iterator[Watch | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from whichpu.campaign.plan import ROUNDS_LEAST
    from whichpu.reports.progress import Progress

    shown = Progress(min(ROUNDS_LEAST, rounds or ROUNDS_LEAST))
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def _interruptible(path: Path) -> Iterator[None]:
    """Ctrl-C says what is kept before it ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {_kept(path)}", err=True)
        raise


def _kept(path: Path) -> str:
    from whichpu.results import store

    rounds = sustained = 0
    if path.exists():
        results = store.load(path).results
        rounds = max((len(result.readings) for result in results), default=0)
        sustained = sum(result.sustained is not None for result in results)
    if not rounds:
        return "No round was finished yet; nothing was measured."
    finished = "1 finished round" if rounds == 1 else f"{rounds} finished rounds"
    if sustained:
        finished += f" and {sustained} sustained run{'s' * (sustained > 1)}"
    are = "is" if finished == "1 finished round" else "are"
    return f"{finished} {are} kept in {path}; the same command with -o {path} --resume goes on."


def _tell(campaign: Any, path: Path, as_json: bool, stored: bool = True) -> None:
    from whichpu.reports import terminal
    from whichpu.results.summary import summarize
    from whichpu.results.sustained import outlook

    if as_json:
        endured = outlook(campaign)
        more = {} if endured is None else {"sustained": endured}
        _print_json({"path": str(path), "summaries": summarize(campaign), **more})
        return
    screen = terminal.console()
    terminal.show(campaign, screen)
    if stored:
        screen.print(f"Every reading is in {path}; `whichpu report {path}` makes a page of it.", markup=False)


def _tell_scenario(ran: Any, path: Path, as_json: bool, stored: bool = True) -> None:
    from whichpu.reports import scenarios, terminal
    from whichpu.results.scenarios import summarize

    if as_json:
        _print_json({"path": str(path), "rows": summarize(ran)})
        return
    screen = terminal.console()
    scenarios.show(ran, screen)
    if stored:
        screen.print(f"Every test is in {path}; `whichpu report {path}` makes a page of it.", markup=False)


@contextmanager
def _stoppable(path: Path) -> Iterator[None]:
    """Ctrl-C says which tests are kept before it ends the command."""
    try:
        yield
    except KeyboardInterrupt:
        from whichpu.results import scenarios

        tests = sum(len(row.probes) for row in scenarios.load(path).rows) if scenarios.is_one(path) else 0
        kept = f"{tests} test{'s are' if tests > 1 else ' is'} kept in {path}." if tests else "Nothing was measured."
        typer.echo(f"Stopped. {kept}", err=True)
        raise


def _print_json(body: object) -> None:
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n")


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

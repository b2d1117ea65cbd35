"""Every backend that pip can install, really run: one table of latencies, differences and placements.

Makes the environments of environments.toml that are missing (which takes GBs and minutes), then measures each model on
all targets in one campaign, so that they take turns. A target that can't be installed, refuses a model or dies is a row
with the reason. Real models are those of examples/; --model adds others.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import page

HERE = Path(__file__).parent
ROOT = HERE.parent
MODELS = [
    ROOT / "examples" / folder / name
    for folder, name in (
        ("apple_stock", "gru.onnx"),
        ("apple_stock", "lstm.onnx"),
        ("licence_plates", "characters.onnx"),
        ("licence_plates", "resnet18.onnx"),
    )
]
COMMAND = [sys.executable, "-m", "whichpu"]
LONGEST = 400
SIGNS = re.compile(r"[:,=]")
"""What a contender's name may not hold."""
PATH = re.compile(r"(?<![\w/])/[\w.+-]+(?:/[\w.+-]+)+")


@dataclass
class Environment:
    """An interpreter with packages, or the reason why there is none."""

    name: str
    targets: list[str]
    npus: list[str]
    packages: list[str]
    version: str
    own: bool = False
    python: Path | None = None
    why_not: str = ""


@dataclass
class Row:
    """One target: its figures by model, and what went wrong by model."""

    target: str
    environment: str
    versions: str = ""
    python: str = ""
    cells: dict[str, str] = field(default_factory=dict)
    placements: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def main() -> int:
    parser = page.parser(__doc__ or "")
    parser.add_argument("--environments", type=Path, default=ROOT / "build" / "environments", help="folder of them all")
    parser.add_argument("--table", type=Path, default=HERE / "environments.toml", help="what they hold")
    parser.add_argument("--only", nargs="+", default=[], help="names of environments (default: all)")
    parser.add_argument("--models", type=Path, nargs="+", default=MODELS, help="instead of the examples' models")
    parser.add_argument("--model", type=Path, action="append", default=[], help="one more model; repeat for more")
    parser.add_argument("--npu-model", type=Path, help="an INT8 TFLite model for the compilers that only estimate")
    parser.add_argument("--budget", default="5s", help="of each contender in a campaign")
    arguments = parser.parse_args()
    table = tomllib.loads(arguments.table.read_text())
    facts = page.Facts()
    environments = list(prepared(table["environments"], arguments))
    rows = [Row(target, one.name) for one in environments for target in one.targets]
    models = [*arguments.models, *arguments.model]
    with page.stoppable():
        for model in models:
            measure(model, environments, rows, arguments)
    estimates = list(estimated(environments, arguments.npu_model))
    text = written(facts, rows, [model.stem for model in models], estimates, table.get("not_here", {}))
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    return 0


def prepared(table: dict[str, Any], arguments: argparse.Namespace) -> Iterator[Environment]:
    """The environments asked for, made where they are missing."""
    for name, entry in table.items():
        if arguments.only and name not in arguments.only:
            continue
        made = Environment(
            name=name,
            targets=entry.get("targets", []),
            npus=entry.get("npus", []),
            packages=entry.get("packages", []),
            version=entry.get("python", ""),
            own=entry.get("own", False),
        )
        prepare(made, arguments.environments / name)
        print(f"{name}: {made.why_not or 'ready'}", file=sys.stderr, flush=True)
        yield made


def prepare(made: Environment, folder: Path) -> None:
    """Set its interpreter, or the reason for none. What is there already is taken as it is."""
    if made.own:
        made.python = Path(sys.executable)
        return
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if complete.exists():
        made.python = python
        return
    base = interpreter(made.version)
    if base is None:
        made.why_not = f"no Python {made.version} here"
        return
    shutil.rmtree(folder, ignore_errors=True)
    steps = [[base, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "--quiet", *made.packages]]
    for step in steps:
        ended = subprocess.run(step, capture_output=True, text=True, check=False)
        if ended.returncode:
            lines = [
                line for line in ended.stderr.splitlines() if line.startswith("ERROR")
            ] or ended.stderr.splitlines()
            made.why_not = f"not installed: {short(lines[-1] if lines else 'pip said nothing')}"
            return
    complete.touch()
    made.python = python


def interpreter(version: str) -> str | None:
    """A Python of this version on the path, or of pyenv; ours where none is named."""
    if not version or sys.version.startswith(f"{version}."):
        return sys.executable
    named = shutil.which(f"python{version}")
    if named and subprocess.run([named, "--version"], capture_output=True, check=False).returncode == 0:
        return named
    if shutil.which("pyenv") is None:
        return None
    root = Path(subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip())
    found = sorted((root / "versions").glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else None


def measure(
    model: Path, environments: Sequence[Environment], rows: Sequence[Row], arguments: argparse.Namespace
) -> None:
    """One campaign of all targets; its figures go into the rows."""
    known = {environment.name: environment for environment in environments}
    held = {f"{row.environment} {SIGNS.sub(' ', row.target)}": row for row in rows}
    words = []
    for label, row in held.items():
        environment = known[row.environment]
        if environment.python is None:
            row.cells[model.stem], row.reasons[""] = "not run", environment.why_not
        else:
            python = "" if environment.own else f",python={environment.python}"
            words += ["--on", f"{label}={row.target}{python}"]
            row.python = row.python or version_of(environment.python)
    if not words:
        return
    print(f"{model.stem}: {len(words) // 2} targets", file=sys.stderr, flush=True)
    for result in campaign(model, words, arguments):
        take(held[result["name"]], model.stem, result)


def campaign(model: Path, words: list[str], arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """The contenders' results, each with its summary under ``summary``."""
    path = arguments.environments / f"{model.stem}.json"
    command = [*COMMAND, "run", str(model), *words, "--budget", arguments.budget, "--overwrite", "-o", str(path)]
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if not ended.stdout.startswith("{"):
        raise SystemExit(f"no campaign of {model.name}: {short(ended.stderr.strip())}")
    summaries = {one["name"]: one for one in json.loads(ended.stdout)["summaries"]}
    results = [
        one for one in json.loads(path.read_text())["results"] if not one["yardstick"] and one["name"] in summaries
    ]
    return [{**result, "summary": summaries[result["name"]]} for result in results]


def take(row: Row, model: str, result: dict[str, Any]) -> None:
    """One result's figures: median latency, largest relative difference of its outputs, placement, and why not."""
    row.versions = ", ".join(f"{package} {version}" for package, version in sorted(result["versions"].items()))
    summary, difference = result["summary"], result["difference"]
    if result["status"] == "measured" and summary["median_ns"]:
        apart = "" if difference is None or difference["relative"] is None else f" ({difference['relative']:.0e})"
        boundary = "" if result["boundary"] == "end_to_end" else f" {result['boundary']}"
        row.cells[model] = f"{summary['median_ns'] / 1e6:.3g}{boundary}{apart}"
    else:
        row.cells[model] = result["status"]
        row.reasons[model] = short(result["why"] or "")
    row.placements[model] = placed(result.get("placement"))


def placed(placement: dict[str, Any] | None) -> str:
    """``xnnpack 18, portable kernels 3``; empty where a target has one unit only."""
    if placement is None:
        return ""
    return ", ".join(f"{unit} {count}" for unit, count in placement["units"].items()) or "unknown"


def estimated(environments: Sequence[Environment], model: Path | None) -> Iterator[list[str]]:
    """What compilers that run nothing say of ``model``: NPU, placement, estimate."""
    for environment in environments:
        for npu in environment.npus:
            if model is None or environment.python is None:
                yield [npu, "not run", environment.why_not or "no INT8 TFLite model was given (--npu-model)", ""]
                continue
            words = ["analyze", str(model), "--npu", f"{npu}:python={environment.python}", "--no-remedies", "--json"]
            ended = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
            if not ended.stdout.startswith("{"):
                yield [npu, "failed", short(ended.stderr.strip()), ""]
                continue
            target = json.loads(ended.stdout)["targets"][0]
            seconds = target["compiler"]["figures"].get("npu_seconds_estimated")
            taken = f"{target['accelerated']} of {target['operators_seen']} operators"
            yield [npu, taken, target["compiler"]["tool"], f"{seconds * 1e3:.3g}" if seconds else "not told"]


def written(
    facts: page.Facts, rows: list[Row], models: list[str], estimates: list[list[str]], not_here: dict[str, str]
) -> str:
    """The page."""
    head = ["target", "versions", "Python", *models, "placement"]
    body = [
        [f"`{row.target}`", row.versions, row.python, *(row.cells.get(model, "not run") for model in models), unit(row)]
        for row in rows
    ]
    body += [[f"`{target}`", "", "", *["not run"] * len(models), why] for target, why in not_here.items()]
    lines = ["# Every backend that pip can install", "", *facts.lines(), ""]
    lines += [
        "Median latency in ms of one inference, one thread, end to end; in brackets the largest difference of its",
        "outputs, relative to the reference's largest value. All contenders of a model took turns in one campaign.",
        "",
        *page_table(head, body),
    ]
    reasons = [
        f"- `{row.target}`{f', {model}' if model else ''}: {why}"
        for row in rows
        for model, why in row.reasons.items()
        if why
    ]
    lines += ["", "## Without figures", "", *reasons] if reasons else []
    if estimates:
        lines += ["", "## Compilers that estimate", "", "Nothing was run: these are the compilers' own estimates.", ""]
        lines += page_table(["NPU", "taken", "by", "estimate (ms)"], estimates)
    return "\n".join(lines) + "\n"


def unit(row: Row) -> str:
    """Where a row's operators ran: once where all models agree, else by model."""
    told = {model: text for model, text in row.placements.items() if text}
    if len(set(told.values())) == 1 and len(told) == len(row.placements):
        return next(iter(told.values()))
    return "; ".join(f"{model}: {text}" for model, text in told.items())


def page_table(head: list[str], body: list[list[str]]) -> list[str]:
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]


def version_of(python: Path) -> str:
    told = subprocess.run([str(python), "--version"], capture_output=True, text=True, check=False)
    return told.stdout.split()[-1] if told.stdout.strip() else "unknown"


def short(text: str) -> str:
    """One line without paths, which name the machine."""
    line = PATH.sub("...", re.sub(r"\s+", " ", text))
    return line if len(line) <= LONGEST else line[:LONGEST] + "..."


if __name__ == "__main__":
    sys.exit(main())

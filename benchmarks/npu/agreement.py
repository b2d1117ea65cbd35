"""How often WhichPU's placement and the vendors' own compilers agree, operator for operator.

    python benchmarks/npu/agreement.py [--npu-data FOLDER] [--fresh TARGET:python=PATH ...] [--models MODEL ...]

Truths: answers recorded in ``tests/data/npu/*.json`` (micro models), ``micro/truth.json`` of the reference data, and
with ``--fresh`` the compilers that are installed here, asked anew about the reference's micro models and ``--models``.
Only operators that a compiler names count; a refused model counts as one. Exit status 2 below 99 % on any target.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import micro
import recorded

sys.path.insert(0, str(Path(__file__).parents[1]))
import page
from recorded import OURS, REFUSED, Compared

from whichpu.errors import UserError
from whichpu.graphs import capability, compilers
from whichpu.graphs.graph import Graph
from whichpu.graphs.lowering.relay_composites import call_counts
from whichpu.graphs.placement import Placement, place
from whichpu.graphs.readers import read
from whichpu.graphs.readers.onnx import graph_of

GOAL = 0.99
DATA = Path(__file__).parents[3] / "shared" / "npu"
SAME = {"exSoftmax13": "Softmax", "exLSTM": "LSTM", "exGRU": "GRU", "exNorm": "LayerNormalization"}
"""What a compiler calls an operator that the model calls otherwise."""
EDGES = ("QuantizeLinear", "DequantizeLinear")
"""At a model's own edges these stay on the host; the reference does not count that as a fallback."""


@dataclass
class Row:
    """One target held to one truth."""

    target: str
    truth: str
    models: int = 0
    named: int = 0
    alike: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, model: str, found: Compared) -> None:
        self.models += 1
        self.named += found.named
        self.alike += found.alike
        self.differences += [f"{model}: {each}" for each in found.differences]

    @property
    def share(self) -> float:
        return self.alike / self.named if self.named else 1.0


def held_to_records() -> Iterator[Row]:
    """Our tables against the answers recorded in the repository, on the micro models."""
    makers = micro.entries()
    graphs: dict[str, Graph] = {}
    for tool, answers in recorded.files():
        for target, by_model in answers.items():
            row = Row(target, f"{tool}, recorded")
            for name, said in by_model.items():
                if name not in makers:
                    continue
                if name not in graphs:
                    graphs[name] = graph_of(makers[name](), f"{name}.onnx")
                row.add(name, recorded.compared(place(graphs[name], capability.find(target)), said))
            yield row


def model_file(folder: Path, name: str, target: str) -> Path:
    """The form of a reference micro model that a target's compiler was given."""
    if target.startswith("ethos_u"):
        return folder / f"{name}_int8.tflite"
    return folder / (f"{name}_qdq.onnx" if target.startswith("qnn") and "w8a8" in target else f"{name}.onnx")


def held_to_reference(folder: Path) -> Iterator[Row]:
    """Our tables against ``truth.json``: which kinds of operators fell back, or that the compiler refused."""
    truth = json.loads((folder / "truth.json").read_text())["rows"]
    targets = dict.fromkeys(key for entry in truth.values() for key in entry if key != "input")
    for key in targets:
        row = Row(key, "reference data")
        if not known(key):
            print(f"{key}: no table has this name", file=sys.stderr)
            continue
        for name, entry in truth.items():
            path = model_file(folder, name, key)
            lost = "writing the report" in str(entry.get(key, {}).get("why", ""))  # compiled; a report that crashed
            if key in entry and entry[key]["r"] != "no_tflite" and path.is_file() and not lost:
                row.add(name, against_kinds(placed(path, key), entry[key]))
        yield row


def known(target: str) -> bool:
    try:
        return bool(capability.find(target))
    except UserError:
        return False


def placed(path: Path, target: str) -> Placement | str:
    """Our placement, or why there is none."""
    try:
        return place(read(path), capability.find(target))
    except UserError as refusal:
        return f"{REFUSED}{refusal}"


def against_kinds(ours: Placement | str, said: Mapping[str, Any]) -> Compared:
    """Ours against the kinds that fell back. A kind the model does not have (inserted by the compiler) tells only
    that something fell back."""
    if isinstance(ours, str):
        return Compared(1, int(said["r"] == "fail"), () if said["r"] == "fail" else (ours,))
    refused = [one for one in ours.placed if one.fate == "refused"]
    if said["r"] == "fail" or refused:
        right = said["r"] == "fail" and bool(refused)
        reason = refused[0].reason if refused else f"we take it; compiler: {said.get('why', '')}"
        return Compared(1, int(right), () if right else (reason,))
    seen = [one for one in ours.placed if one.fate != "folded" and one.operator.type not in EDGES]
    kinds = Counter(one.operator.type for one in seen if OURS[one.fate] != "n")
    expected = {SAME.get(kind, kind) for kind in said.get("cpu") or said.get("unsupported") or ()}
    if said["r"] == "cpu" and not (expected and expected <= {one.operator.type for one in seen}):
        words = () if kinds else (f"nothing falls back with us; compiler: {sorted(expected) or 'something'}",)
        return Compared(1, int(bool(kinds)), words)
    wrong = sorted(set(kinds) ^ expected)
    who = {kind: "us" if kind in kinds else "the compiler" for kind in wrong}
    differences = tuple(f"{kind}: off the accelerator only with {who[kind]}" for kind in wrong)
    return Compared(len(seen), len(seen) - sum(kinds.get(kind, 1) for kind in wrong), differences)


def held_to_tvm(folder: Path) -> Iterator[Row]:
    """Ethos-N78 by TVM: calls on both sides, by kind, on the reference's networks that are the files TVM saw."""
    file = recorded.FOLDER / "tvm.json"
    told = json.loads(file.read_text())["models"] if file.is_file() else {}
    for inline in ("yes", "no"):
        target = f"ethos-n78:inline={inline}"
        row = Row(target, "TVM 0.14.0, recorded")
        for name, entry in told.items():
            path = folder / f"{name}_int8.tflite"
            if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]:
                row.add(name, against_sides(place(read(path), capability.find(target)), entry[inline]))
        if row.models:
            yield row


def against_sides(ours: Placement, said: Mapping[str, Any]) -> Compared:
    """Calls in TVM's main function and composites in its regions, against ours."""
    lowered = ours.lowered.operators
    host = Counter(call_counts(one for one in lowered if one.index not in ours.region_of))
    inside = Counter(one.type for one in lowered if one.index in ours.region_of)
    theirs = Counter(said["main"]), Counter(said["regions"])
    wrong = [*((theirs[0] - host) + (theirs[1] - inside)).items()]
    total = sum(sum(side.values()) for side in theirs)
    missing = sum(count for _, count in wrong)
    return Compared(total, total - missing, tuple(f"{count} {kind} are elsewhere with us" for kind, count in wrong))


def asked_anew(texts: Iterable[str], models: list[Path]) -> Iterator[Row]:
    """The compilers that are installed, asked about each model."""
    for text in texts:
        target = capability.find(text)
        why_not = compilers.why_not(target)
        if why_not:
            print(f"{text}: {why_not}", file=sys.stderr)
            continue
        row = Row(target.capability.name, "asked anew")
        for path in models:
            try:
                graph = read(path)
                ours, answer = place(graph, target), compilers.ask(path, graph, target)
            except UserError as refusal:
                print(f"{text}, {path.name}: {refusal}", file=sys.stderr)
                continue
            row.truth = f"{answer.tool}, asked anew"
            row.add(path.name, recorded.compared(ours, recorded.letters(answer, graph)))
        yield row


def text_of(rows: list[Row], facts: page.Facts) -> str:
    """The Markdown page."""
    lines = ["# Agreement of placements with the vendors' compilers", "", *facts.lines(), ""]
    lines += ["| target | truth | models | operators | alike | agreement |", "|---|---|---|---|---|---|"]
    for row in rows:
        figures = f"{row.models} | {row.named} | {row.alike} | {100 * row.share:.2f} %"
        lines.append(f"| {row.target} | {row.truth} | {figures} |")
    for row in rows:
        if row.differences:
            lines += ["", f"## {row.target}, {row.truth}", "", *(f"- {each}" for each in row.differences)]
    return "\n".join(lines) + "\n"


def main() -> int:
    made = page.parser(__doc__ or "")
    made.add_argument("--npu-data", type=Path, default=DATA, help="folder of the reference data")
    made.add_argument("--fresh", nargs="*", default=[], metavar="TARGET", help="targets whose compilers are asked anew")
    made.add_argument("--models", nargs="*", type=Path, default=[], help="further models to ask about")
    given = made.parse_args()
    facts = page.Facts()
    rows = list(held_to_records())
    folder = given.npu_data / "micro"
    if (folder / "truth.json").is_file():
        rows += held_to_reference(folder)
    rows += held_to_tvm(given.npu_data / "tvm_truth")
    own = [path for path in sorted(folder.glob("*.onnx")) if not path.stem.endswith("_qdq")]
    rows += asked_anew(given.fresh, [*own, *given.models])
    text = text_of(rows, facts)
    print(text)
    if given.output:
        given.output.write_text(text)
    return 0 if all(row.share >= GOAL for row in rows) else 2


if __name__ == "__main__":
    sys.exit(main())

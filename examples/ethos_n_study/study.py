"""The study's table again: an encoder-decoder with ReLU and with LeakyReLU, pruned, on every way into TVM.

``python examples/ethos_n_study/study.py`` builds the networks, analyses them for an Arm Ethos-N78 (4 TOPS, 4 PLE, as
TVM partitions) and prints Markdown. Nothing is compiled or measured: every figure is WhichPU's static analysis.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import as_onnx
import as_tflite
import onnx
from networks import ACTIVATIONS, PRUNING, Network, network

from whichpu.graphs.capability import find
from whichpu.graphs.placement import Placement, place
from whichpu.graphs.readers import read

ROUTES = {
    "TFLite INT8": ("tflite", ""),
    "ONNX QOperator, ConvertLayout": ("qoperator", "route=onnx-qoperator,layout=nhwc"),
    "ONNX QDQ as it stands": ("qdq", "route=onnx-qdq"),
    "ONNX QDQ, not pulled back": ("qdq", "route=onnx-qdq,inline=no"),
    "ONNX QDQ to integers, NCHW": ("qdq", "route=onnx-qdq-fq2i"),
    "ONNX QDQ to integers, ConvertLayout": ("qdq", "route=onnx-qdq-fq2i,layout=nhwc"),
}
"""Name: the file's form, and the target's options."""
WARNING = (
    "**The share of functions is n/(n+1) and rises with fragmentation: a network taken whole scores 50 %, one cut into "
    "104 pieces 99 %. Read the share of MACs, the number of NPU functions and the bytes that cross.**"
)


@dataclass(frozen=True)
class Row:
    """One network on one route."""

    network: Network
    route: str
    placement: Placement

    @property
    def calls(self) -> Counter[str]:
        """Relay calls of the whole module, as the study counts them."""
        found: Counter[str] = Counter()
        for operator in self.placement.lowered.operators:
            found.update(operator.attributes.get("parts", (operator.type,)))
        return found

    @property
    def triples(self) -> tuple[int, int]:
        """Dequantise, leaky_relu, quantise: how many there are, how many of them are one NPU layer."""
        layers = [one for one in self.placement.lowered.operators if "nn.leaky_relu" in one.attributes.get("parts", ())]
        taken = sum(one.index in self.placement.region_of for one in layers)
        return len(layers), taken


def rows(folder: Path) -> Iterator[Row]:
    """Every network on every route; the files are written into the folder."""
    for activation in ACTIVATIONS:
        for level in PRUNING:
            built = network(level, activation)
            files = written(built, folder)
            for route, (form, options) in ROUTES.items():
                yield Row(built, route, place(read(files[form]), find(f"ethos-n78:{options}")))


def written(built: Network, folder: Path) -> dict[str, Path]:
    """The network's files by form."""
    files = {"tflite": folder / f"{built.name}.tflite"}
    files["tflite"].write_bytes(as_tflite.written(built))
    for form in ("qdq", "qoperator"):
        files[form] = folder / f"{built.name}.{form}.onnx"
        onnx.save(as_onnx.written(built, form), files[form])
    return files


def plain(row: Row) -> dict[str, str | int | float | None]:
    """A row as JSON; shares are of 1."""
    figures, (triples, taken) = row.placement.figures, row.triples
    return {
        "network": row.network.name,
        "activation": row.network.activation,
        "route": row.route,
        "regions": figures.regions,
        "function_ratio": figures.function_ratio,
        "mac_share": figures.mac_share,
        "triples": triples,
        "triples_taken": taken,
    }


def table(found: list[Row]) -> Iterator[str]:
    """The study's first table, and beside it what it leaves out."""
    yield "| model | route | functions | NPU | CPU | share of functions | share of MACs | host operators | crossing |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|"
    for row in found:
        figures = row.placement.figures
        count = figures.regions
        host = sum(one.index not in row.placement.region_of for one in row.placement.lowered.operators)
        crossing = "unknown" if figures.boundary_bytes is None else f"{figures.boundary_bytes / 2**20:.2f} MiB"
        yield (
            f"| {row.network.name} | {row.route} | {count + 1} | {count} | 1 | {100 * figures.function_ratio:.1f} % "
            f"| {_share(row)} | {host} | {crossing} |"
        )


def histogram(row: Row) -> Iterator[str]:
    """The study's second table: calls of the module, and where they went."""
    on_npu: Counter[str] = Counter()
    for operator in row.placement.lowered.operators:
        if operator.index in row.placement.region_of:
            on_npu.update(operator.attributes.get("parts", (operator.type,)))
    total = sum(row.calls.values())
    yield f"{row.network.name}, {row.route}: {total} calls."
    yield ""
    yield "| call | count | share | on the NPU |"
    yield "|---|--:|--:|--:|"
    for kind, count in row.calls.most_common(10):
        yield f"| {kind} | {count} | {100 * count / total:.1f} % | {on_npu[kind]} |"


def words(found: list[Row]) -> Iterator[str]:
    """What LeakyReLU costs on each route, and what to expect of it."""
    for route in ROUTES:
        mine = [row for row in found if row.route == route and row.network.name.startswith("level2")]
        relu, leaky = (next(row for row in mine if row.network.activation == name) for name in ACTIVATIONS)
        count, taken = leaky.triples
        sandwich = (
            f"{count} conversion triples, {taken} of them one NPU layer each" if count else "no conversion triples"
        )
        yield (
            f"- **{route}**: with LeakyReLU {_share(leaky)} of the MACs on the NPU in {_regions(leaky)}, with ReLU "
            f"{_share(relu)} in {_regions(relu)}; {sandwich}. {_effect(relu, leaky)}"
        )


def _share(row: Row) -> str:
    share = row.placement.figures.mac_share
    return "unknown" if share is None else f"{100 * share:.1f} %"


def _regions(row: Row) -> str:
    count = row.placement.figures.regions
    return f"{count} region{'' if count == 1 else 's'}"


def _effect(relu: Row, leaky: Row) -> str:
    before, after = relu.placement.figures, leaky.placement.figures
    if not (before.mac_share or after.mac_share):
        return "The activation makes no difference: the convolutions stay on the CPU; change the route first."
    if before.regions == after.regions == 1 and leaky.triples[1]:
        return "LeakyReLU is native: expect no more than an extra pass before convolutions with stride 2."
    if (after.mac_share or 0) > (before.mac_share or 0):
        return "ReLU hides its convolution from the pattern here: LeakyReLU is the better of the two on this route."
    if after.regions > before.regions:
        return "Every activation leaves the NPU and comes back: expect memory traffic, not arithmetic, to decide."
    return "Both are placed alike."


def report(found: list[Row]) -> str:
    """All of it, as Markdown."""
    shown = [row for row in found if row.network.name in ("level2_relu", "level3_leaky_relu")]
    shown = [row for row in shown if row.route in ("TFLite INT8", "ONNX QDQ as it stands")]
    parts = ["## Functions", "", WARNING, "", *table(found), "", "## Calls", ""]
    for row in shown:
        parts += [*histogram(row), ""]
    return "\n".join([*parts, "## LeakyReLU against ReLU", "", *words(found), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="The Ethos-N study's table, regenerated in form.")
    parser.add_argument("-o", "--output", type=Path, help="write the Markdown here, not on the screen")
    parser.add_argument("--keep", type=Path, help="keep the networks in this folder")
    parser.add_argument("--json", action="store_true", help="the rows as JSON, not Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = list(rows(folder))
        text = json.dumps([plain(row) for row in found], indent=1) if options.json else report(found)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()

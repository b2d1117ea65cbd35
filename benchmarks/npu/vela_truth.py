"""What Vela makes of TFLite networks, and how far our tables agree.

    python benchmarks/npu/vela_truth.py --python PATH [--converted FOLDER] [--folder FOLDER] [--write]

PATH is an interpreter that holds ethos-u-vela. Compiles the zoo of ``vela_zoo.py``, the micro models as a converter
wrote them (``--converted``: NAME.tflite each, by ``onnx2tf_zoo.py``), and any FOLDER of .tflite files; prints the
agreement and every disagreement. ``--write`` records the answers in ``tests/data/npu/vela.json``: a letter for each
operator, n on the NPU, c on the CPU; x for a network that Vela refuses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import vela_zoo

from whichpu.errors import UserError
from whichpu.graphs import capability
from whichpu.graphs.compilers import process, vela
from whichpu.graphs.graph import Graph
from whichpu.graphs.readers import tflite

CONFIGURATIONS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
RECORD = Path(__file__).parents[2] / "tests" / "data" / "npu" / "vela.json"
LETTERS = {"npu": "n", "host": "c", "unknown": "?"}
REFUSED = "x"


def answers(files: list[Path], python: str, out: Path) -> dict[str, dict[str, str]]:
    """Letters by configuration and file."""
    lines = "".join(f"{configuration} {file}\n" for configuration in CONFIGURATIONS for file in files)
    child = Path(__file__).with_name("vela_child.py")
    subprocess.run([python, str(child), str(out)], input=lines, text=True, check=True)
    graphs = {file: tflite.parsed(file) for file in files}
    return {
        configuration: {file.stem: told(graphs[file], out / configuration / file.stem) for file in files}
        for configuration in CONFIGURATIONS
    }


def told(graph: Graph, stem: Path) -> str:
    """Vela's answer, in short."""
    log = stem.with_name(f"{stem.name}.log").read_text(errors="replace")
    ended = process.Ended(int(log.rsplit("STATUS", 1)[1]), log)
    answer = vela.answer(stem.with_name(f"{stem.name}_vela.tflite"), ended, graph, "vela")
    if not answer.verdicts:
        return REFUSED
    return "".join(LETTERS[answer.verdicts[operator.index].status] for operator in graph.operators)


def ours(graph: Graph, target: capability.Target) -> str:
    """Our table's answer on TFLite operators, in short."""
    statuses = [target.judge(graph, operator).status for operator in graph.operators]
    return REFUSED if "refused" in statuses else "".join(LETTERS[status] for status in statuses)


def zoo_record(told_by: Mapping[str, Mapping[str, str]], names: Iterable[str]) -> dict[str, Any]:
    """The zoo's answers, one text for a configuration; its names are made again, and told apart by their sum."""
    names = list(names)
    content: dict[str, Any] = {"networks": len(names), "crc32_of_names": zlib.crc32(" ".join(names).encode())}
    return content | {key: " ".join(by_name[name] for name in names) for key, by_name in told_by.items()}


def differing(graphs: Mapping[str, Graph], said: Mapping[str, str], target: str) -> Iterator[tuple[str, str, str]]:
    """Networks on which table and compiler differ: name, compiler's letters, ours."""
    found = capability.find(target)
    for name, letters in said.items():
        mine = ours(graphs[name], found)
        if mine != letters:
            yield name, letters, mine


def read_graphs(files: Iterable[Path]) -> dict[str, Graph]:
    graphs = {}
    for file in files:
        try:
            graphs[file.stem] = tflite.read(file, {})
        except UserError as refusal:
            print(f"{file.name}: {refusal}", file=sys.stderr)
    return graphs


def compare(title: str, graphs: Mapping[str, Graph], told_by: Mapping[str, Mapping[str, str]]) -> None:
    """Print the agreement by operator, and every disagreement."""
    for configuration, said in told_by.items():
        known = {name: letters for name, letters in said.items() if name in graphs}
        wrong = list(differing(graphs, known, configuration))
        operators = sum(len(letters) for letters in known.values())
        missed = sum(apart(letters, mine) for _, letters, mine in wrong)
        share = 100 * (1 - missed / operators) if operators else 100
        print(f"{configuration}, {title}: {len(known)} networks, {operators} operators, {share:.2f} % alike")
        for name, letters, mine in wrong:
            print(f"  {name}: Vela {letters}, ours {mine}")


def apart(said: str, mine: str) -> int:
    """Operators on which two answers differ; a refusal counts as one."""
    if len(said) != len(mine) or REFUSED in (said, mine):
        return 1
    return sum(one != other for one, other in zip(said, mine, strict=True))


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--python", required=True, help="an interpreter that holds ethos-u-vela")
    made.add_argument("--converted", type=Path, help="folder of micro models as the converter wrote them")
    made.add_argument("--folder", type=Path, help="any folder of .tflite files")
    made.add_argument("--write", action="store_true", help="record the answers for the tests")
    given = made.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names = [name for name, content in vela_zoo.zoo() if (folder / f"{name}.tflite").write_bytes(content)]
        zoo = [folder / f"{name}.tflite" for name in names]
        told_by = answers(zoo, given.python, folder / "out")
        compare("zoo", read_graphs(zoo), told_by)
        content: dict[str, Any] = {"tool": f"ethos-u-vela {version(given.python)}", "made_by": "vela_truth.py"}
        content["zoo"] = zoo_record(told_by, names)
        for title, source in (("converted", given.converted), ("folder", given.folder)):
            if source is None:
                continue
            files = sorted(source.glob("*.tflite"))
            more = answers(files, given.python, folder / title)
            graphs = read_graphs(files)
            compare(title, graphs, more)
            if title == "converted":
                kinds = {name: " ".join(one.type for one in graph.operators) for name, graph in graphs.items()}
                content["converted"] = {"by": "onnx2tf 1.29.24, TensorFlow 2.19.0", "operators": kinds} | more
    if given.write:
        RECORD.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n")


def version(python: str) -> str:
    return subprocess.run([python, "-m", vela.PACKAGE, "--version"], capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()

"""Asks RKNN-Toolkit2 about the micro models and records its answers in ``tests/data/npu/rknn.json``.

    python benchmarks/npu/rknn_truth.py --python PATH [--logs FOLDER]

``PATH`` is the interpreter that holds rknn-toolkit2. Logs are kept in ``FOLDER`` and not made again. A third of a
second for each model and target, about 15 minutes in all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import micro
import recorded

from whichpu.graphs.compilers import Answer, process, rknn
from whichpu.graphs.graph import Graph
from whichpu.graphs.readers import read

TARGETS = {
    "rk3588:precision=w8a8": ("rk3588", "w8a8"),
    "rk3588:precision=fp16": ("rk3588", "fp16"),
    "rk3566:precision=w8a8": ("rk3566", "w8a8"),
}
BATCH = Path(__file__).with_name("rknn_batch.py")
CHILD = Path(rknn.__file__).with_name("rknn_child.py")
FILE = recorded.FOLDER / "rknn.json"


def compile_all(python: str, models: list[Path], logs: Path) -> None:
    """A log for each model and target."""
    for platform, precision in TARGETS.values():
        out = logs / f"{platform}_{precision}"
        words = [python, str(BATCH), str(CHILD), str(out), platform, precision, *map(str, models)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def answer(log: Path, graph: Graph) -> Answer:
    """What a log of the batch tells. Nodes were named by type and place, as in the micro models."""
    text = log.read_text(errors="replace")
    body, _, code = text.rpartition("\nENDED ")
    names = {operator.name: operator.outputs[0].name for operator in graph.operators}
    return rknn.answer(process.Ended(int(code), body), graph, names)


def main() -> None:
    parser = argparse.ArgumentParser(description="Record RKNN-Toolkit2's answers about the micro models")
    parser.add_argument("--python", required=True)
    parser.add_argument("--logs", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = micro.write(Path(temporary) / "models")
        logs = given.logs or Path(temporary) / "logs"
        compile_all(given.python, models, logs)
        graphs = {path.stem: read(path) for path in models}
        tools = set()
        answers: dict[str, dict[str, str]] = {}
        for target, (platform, precision) in TARGETS.items():
            answers[target] = {}
            for name, graph in graphs.items():
                said = answer(logs / f"{platform}_{precision}" / f"{name}.log", graph)
                tools.add(said.tool)
                answers[target][name] = recorded.letters(said, graph)
    content = {"tool": max(tools, key=len), "made_by": "benchmarks/npu/rknn_truth.py", "answers": answers}
    FILE.write_text(json.dumps(content, indent=0) + "\n")
    print(f"{FILE.name}: {sum(map(len, answers.values()))} answers of {content['tool']}")


if __name__ == "__main__":
    main()

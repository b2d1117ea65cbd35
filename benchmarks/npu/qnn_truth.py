"""Asks ONNX Runtime's QNN provider about the micro models and records its answers in ``tests/data/npu/qnn.json``.

    python benchmarks/npu/qnn_truth.py --python PATH

``PATH`` is the interpreter that holds onnxruntime-qnn. The models are quantised here, by ONNX Runtime's own quantiser
for QNN; a quarter of a second for each model and target, about ten minutes in all. What onnxruntime's mobile checker
says of the same models goes to ``tests/data/npu/mobile.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import micro
import recorded

from whichpu.errors import UserError
from whichpu.graphs import capability
from whichpu.graphs.compilers import Answer, mobile_checker, process, qnn
from whichpu.graphs.graph import Graph
from whichpu.graphs.readers import read

QNN = ("htp-v73:precision=w8a8", "htp-v73:precision=w8a16", "htp-v73:precision=fp16", "htp-v68:precision=w8a8")
MOBILE = ("coreml:rule=checker", "coreml:rule=checker,format=neuralnetwork", "nnapi:rule=checker")
CHILD = Path(qnn.__file__).with_name("qnn_child.py")
HOURS_S = 2 * 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the answers of QNN's provider and of the mobile checker")
    parser.add_argument("--python", required=True)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        models = micro.write(Path(temporary) / "models")
        graphs = {path.stem: read(path) for path in models}
        mobile = {text: checked(models, graphs, text) for text in MOBILE}
        record("mobile.json", mobile, graphs)
        record("qnn.json", {text: compiled(models, graphs, text, given.python) for text in QNN}, graphs)


def checked(models: list[Path], graphs: Mapping[str, Graph], text: str) -> dict[str, Answer]:
    target = capability.find(text)
    return {path.stem: mobile_checker.ask(path, graphs[path.stem], target) for path in models}


def compiled(models: list[Path], graphs: Mapping[str, Graph], text: str, python: str) -> dict[str, Answer]:
    """The provider's answers: all models prepared, then compiled by one child that forks for each.

    Models that the quantiser writes anew (old opsets) keep no names to answer by, and are left out.
    """
    target = capability.find(text)
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        names: dict[str, dict[str, str]] = {}
        files: list[str] = []
        for path in models:
            folder = top / path.stem
            folder.mkdir()
            copy = Path(shutil.copyfile(path, folder / "model.onnx"))
            try:
                names[path.stem] = qnn.named(copy, graphs[path.stem])
                model = qnn.quantised(folder, target.options["precision"], graphs[path.stem])
            except UserError as refusal:
                print(f"{text}: {path.stem}: {refusal}")
                names.pop(path.stem, None)
                continue
            files += [str(folder / model), str(folder / "answer.json")]
        ended = process.run([python, str(CHILD), json.dumps(qnn.options(target)), *files], top, HOURS_S)
        found = {name: answered(top / name / "answer.json", ended, graphs[name], names[name]) for name in names}
    return {name: answer for name, answer in found.items() if answer.verdicts or answer.refused}


def answered(file: Path, ended: process.Ended, graph: Graph, names: Mapping[str, str]) -> Answer:
    return qnn.answer(json.loads(file.read_text()) if file.is_file() else {}, ended, graph, names)


def record(name: str, answers: Mapping[str, Mapping[str, Answer]], graphs: Mapping[str, Graph]) -> None:
    tools = {answer.tool for by_model in answers.values() for answer in by_model.values()}
    said = {
        target: {model: recorded.letters(answer, graphs[model]) for model, answer in by_model.items()}
        for target, by_model in answers.items()
    }
    content = {"tool": max(tools, key=len), "made_by": "benchmarks/npu/qnn_truth.py", "answers": said}
    (recorded.FOLDER / name).write_text(json.dumps(content, indent=0) + "\n")
    print(f"{name}: {sum(map(len, said.values()))} answers of {content['tool']}")


if __name__ == "__main__":
    main()

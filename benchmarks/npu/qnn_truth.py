"""Asks ONNX Runtime's QNN provider about the micro models and records its answers in ``tests/data/npu/qnn.json``.

    python benchmarks/npu/qnn_truth.py --python PATH

``PATH`` is the interpreter that holds onnxruntime-qnn. The models are quantised here, by ONNX Runtime's own quantiser
for QNN; a quarter of a second for each model and target, about ten minutes in all. What onnxruntime's mobile checker
says of the same models goes to ``tests/data/npu/mobile.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import micro
import recorded

from whichpu.graphs import capability
from whichpu.graphs.compilers import Answer, mobile_checker, process, qnn
from whichpu.graphs.graph import Graph
from whichpu.graphs.readers import read

QNN = ("htp-v73:precision=w8a8", "htp-v73:precision=w8a16", "htp-v73:precision=fp16", "htp-v68:precision=w8a8")
MOBILE = ("coreml:rule=checker", "coreml:rule=checker,format=neuralnetwork", "nnapi:rule=checker")
HOURS_S = 2 * 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Record the answers of QNN's provider and of the mobile checker")
    parser.add_argument("--python", required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = micro.write(Path(temporary) / "models")
        graphs = {path.stem: read(path) for path in models}
        mobile = {text: checked(models, graphs, text) for text in MOBILE}
        record("mobile.json", mobile, graphs)
        record("qnn.json", {text: compiled(models, graphs, text, given.python) for text in QNN}, graphs)


def checked(models: list[Path], graphs: Mapping[str, Graph], text: str) -> dict[str, Answer]:
    """The checker's answers, by one child for all models."""
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        names = {path.stem: qnn.named(copied(path, top), graphs[path.stem]) for path in models}
        files = [str(top / name / each) for name in names for each in ("answer.json", "model.onnx")]
        list_name = mobile_checker.list_of(capability.find(text))
        ended = process.run([sys.executable, str(mobile_checker.CHILD), list_name, *files], top, HOURS_S)
        return {
            name: mobile_checker.answer(told(top / name), ended, graphs[name], called) for name, called in names.items()
        }


def compiled(models: list[Path], graphs: Mapping[str, Graph], text: str, python: str) -> dict[str, Answer]:
    """The provider's answers: all models prepared, then compiled by one child that forks for each.

    Models that the quantiser refuses, or writes anew (old opsets) so that no names are left, are left out.
    """
    target = capability.find(text)
    precision = target.options["precision"]
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        names = {path.stem: qnn.named(copied(path, top), graphs[path.stem]) for path in models}
        ready = {name: top / name / "model.onnx" for name in names}
        if precision != "fp16":
            pairs = [str(top / name / each) for name in names for each in ("model.onnx", "quantised.onnx")]
            process.run([sys.executable, str(qnn.QUANTISER), precision, *pairs], top, HOURS_S)
            ready = {name: top / name / "quantised.onnx" for name in names}
            ready = {name: path for name, path in ready.items() if path.is_file()}
        files = [str(each) for path in ready.values() for each in (path, path.with_name("answer.json"))]
        ended = process.run([python, str(qnn.CHILD), json.dumps(qnn.options(target)), *files], top, HOURS_S)
        found = {name: qnn.answer(told(top / name), ended, graphs[name], names[name]) for name in ready}
    return {name: answer for name, answer in found.items() if answer.verdicts or answer.refused}


def copied(path: Path, top: Path) -> Path:
    folder = top / path.stem
    folder.mkdir()
    return Path(shutil.copyfile(path, folder / "model.onnx"))


def told(folder: Path) -> dict[str, Any]:
    file = folder / "answer.json"
    return json.loads(file.read_text()) if file.is_file() else {}


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

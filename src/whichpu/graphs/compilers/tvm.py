"""TVM with Ethos-N, asked to partition where the user has one: Relay and Ethos-N left TVM after 0.18.

The partitioned module names no source operators, so the answer holds counts, not verdicts: functions for the NPU, all
functions, calls by name. They stand beside the table's figures.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whichpu.errors import UserError
from whichpu.graphs.capability import Target
from whichpu.graphs.compilers import Answer, process
from whichpu.graphs.graph import Graph
from whichpu.graphs.readers.relay import counts

PACKAGE = "tvm.relay"
TIMEOUT_S = 600.0
READS = (".tflite", ".onnx")
VARIANT = re.compile(r"(\d+)tops-(\d+)ple")


def why_not(target: Target) -> str | None:
    """Why TVM can't be asked; None when it can. Whether it was built with Ethos-N is seen on asking."""
    install = f"build TVM 0.18 or earlier with Ethos-N, then {target.capability.name}:python=PATH"
    return process.not_held(target, PACKAGE, "TVM with Relay", install)


def ask(path: Path, graph: Graph, target: Target) -> Answer:
    """Partition a copy of the model. Raises :class:`UserError` for other formats and a TVM without Ethos-N."""
    del graph
    if path.suffix.lower() not in READS:
        raise UserError(f"TVM is asked with TFLite and ONNX models, not with {path.name}", "give the model itself")
    options = compiler_options(target.options)
    with tempfile.TemporaryDirectory(prefix="whichpu-tvm-") as temporary:
        folder = Path(temporary)
        if path.suffix.lower() == ".onnx":
            model = process.copied(path, folder)
        else:
            model = Path(shutil.copyfile(path, folder / "model.tflite"))
        child = shutil.copyfile(Path(__file__).with_name("tvm_child.py"), folder / "child.py")
        words = [target.python or sys.executable, child.name, model.name, json.dumps(options), "answer.json"]
        ended = process.run(words, folder, TIMEOUT_S)
        found = process.told(folder)
    if found is None:
        raise UserError(f"TVM gave no answer: {ended.how or 'it wrote nothing'}", ended.log.strip()[-300:])
    return answer(found, ended.log)


def compiler_options(options: Mapping[str, str]) -> dict[str, str]:
    """The table's options as ``relay.ext.ethos-n.options`` takes them: ``variant=4tops-2ple`` is tops and PLE ratio."""
    size = VARIANT.fullmatch(options.get("variant", ""))
    return {"variant": "n78"} | ({"tops": size[1], "ple_ratio": size[2]} if size else {})


def answer(found: Mapping[str, Any], log: str = "") -> Answer:
    """Counts of the partitioned module."""
    if "not_built" in found:
        raise UserError(f"TVM {found['version']}: {found['not_built']}", "build it with USE_ETHOSN, or ask no compiler")
    tool = f"TVM {found['version']}"
    if "refused" in found:
        return Answer(tool, {}, refused=found["refused"], log=log)
    counted = counts(found["text"])
    figures = {
        "functions": counted.functions,
        "npu_functions": counted.npu_functions,
        "calls": dict(counted.calls),
        "composites": dict(counted.composites),
    }
    return Answer(tool, {}, regions=counted.npu_functions, figures=figures, log=log)

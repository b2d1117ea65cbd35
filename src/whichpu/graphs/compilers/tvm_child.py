"""Partitions a model with TVM for Ethos-N; started by ``compilers/tvm.py`` in the interpreter that holds TVM.

``python tvm_child.py MODEL OPTIONS ANSWER``: imports TFLite or ONNX to Relay, runs ``partition_for_ethosn``, and writes
the module's text to ANSWER as JSON. OPTIONS is JSON: variant, tops, ple_ratio. Needs a TVM up to 0.18 that was built
with Ethos-N. Source: Apache TVM 0.18 python/tvm/relay/op/contrib/ethosn.py and relay/frontend.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(model_file: str, options: str, answer_file: str) -> None:
    tvm = import_module("tvm")
    ethosn = import_module("tvm.relay.op.contrib.ethosn")
    found: dict[str, Any] = {"version": tvm.__version__}
    if not ethosn.ethosn_available():
        found["not_built"] = "this TVM was built without Ethos-N (USE_ETHOSN)"
    else:
        try:
            found["text"] = partitioned(tvm, ethosn, model_file, json.loads(options))
        except Exception as problem:  # TVM raises its own and plain ones; either is its answer
            found["refused"] = f"{type(problem).__name__}: {problem}"
    Path(answer_file).write_text(json.dumps(found))


def partitioned(tvm: Any, ethosn: Any, model_file: str, options: dict[str, Any]) -> str:
    """The text of the partitioned module."""
    module, params = imported(model_file)
    with tvm.transform.PassContext(opt_level=3, config={"relay.ext.ethos-n.options": options}):
        text: str = ethosn.partition_for_ethosn(module, params, **options).astext(show_meta_data=False)
    return text


def imported(model_file: str) -> tuple[Any, Any]:
    """Relay module and parameters, by the front end of the file's format."""
    frontend = import_module("tvm.relay.frontend")
    if model_file.endswith(".tflite"):
        tflite = import_module("tflite")
        module, params = frontend.from_tflite(tflite.Model.GetRootAsModel(Path(model_file).read_bytes(), 0))
    else:
        module, params = frontend.from_onnx(import_module("onnx").load(model_file))
    return module, params


if __name__ == "__main__":
    main(*sys.argv[1:])

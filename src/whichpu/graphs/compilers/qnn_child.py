"""Compiles a model with ONNX Runtime's QNN provider; started by ``compilers/qnn.py`` in the interpreter that holds it.

``python qnn_child.py OPTIONS MODEL OUT [MODEL OUT ...]``: OPTIONS is JSON for the provider; OUT gets JSON with the
versions, and which provider each node went to, or the error in ONNX Runtime's words. A fresh process for each model,
with the context cache on: without it the x86 back end compiles for an older chip. Standard library and onnxruntime
only.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(options: str, *files: str) -> None:
    import onnxruntime

    qnn = import_module("onnxruntime_qnn")
    for model_file, out_file in zip(files[::2], files[1::2], strict=True):
        if len(files) == 2:
            record(model_file, out_file, options, onnxruntime, qnn)
            return
        process = os.fork()
        if not process:
            try:
                record(model_file, out_file, options, onnxruntime, qnn)
            finally:
                os._exit(0)
        os.waitpid(process, 0)


def record(model_file: str, out_file: str, options: str, onnxruntime: Any, qnn: Any) -> None:
    found: dict[str, Any] = {"onnxruntime": onnxruntime.__version__, "onnxruntime_qnn": qnn.__version__}
    try:
        found["parts"], found["providers"] = assigned(model_file, json.loads(options), onnxruntime, qnn)
    except Exception as problem:  # ONNX Runtime raises kinds of its own; the words are the answer
        found["error"] = str(problem)
    Path(out_file).write_text(json.dumps(found))


def assigned(model_file: str, options: "dict[str, str]", onnxruntime: Any, qnn: Any) -> "tuple[list[Any], list[str]]":
    """Partitions with their provider and nodes, and the session's providers."""
    onnxruntime.register_execution_provider_library(qnn.get_ep_name(), qnn.get_library_path())
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == qnn.get_ep_name()]
    session_options = onnxruntime.SessionOptions()
    session_options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session_options.add_session_config_entry("ep.context_enable", "1")
    session_options.add_session_config_entry("ep.context_file_path", str(Path(model_file).with_suffix(".context.onnx")))
    session_options.add_provider_for_devices(devices, {"backend_path": qnn.get_qnn_htp_path(), **options})
    session = onnxruntime.InferenceSession(model_file, session_options)
    parts = [
        {"provider": part.ep_name, "nodes": [[node.name, node.op_type] for node in part.get_nodes()]}
        for part in session.get_provider_graph_assignment_info()
    ]
    return parts, session.get_providers()


if __name__ == "__main__":
    main(*sys.argv[1:])

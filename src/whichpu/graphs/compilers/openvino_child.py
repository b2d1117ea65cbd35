"""Asks OpenVINO's ``query_model`` about a device; started by ``compilers/openvino.py``.

``python openvino_child.py DEVICE OUT [MODEL]``: OUT gets JSON with the version, and the operations' names with whether
the device takes each, or the error in OpenVINO's words. Without a model: a network of one Relu.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(device: str, out: str, model_file: str = "") -> None:
    import openvino as ov

    found: dict[str, Any] = {"openvino": ov.__version__.partition("-")[0]}
    try:
        core = ov.Core()
        model = core.read_model(model_file) if model_file else one_relu(ov)
        taken = core.query_model(model, device)
        found["taken"] = {each.get_friendly_name(): each.get_friendly_name() in taken for each in model.get_ops()}
    except RuntimeError as problem:
        found["error"] = str(problem).strip()
    Path(out).write_text(json.dumps(found))


def one_relu(ov: Any) -> Any:
    given = ov.opset13.parameter([1, 4], ov.Type.f32)
    return ov.Model([ov.opset13.relu(given)], [given])


if __name__ == "__main__":
    main(*sys.argv[1:])

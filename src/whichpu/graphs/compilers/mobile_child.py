"""Asks onnxruntime's mobile usability checker; started by ``compilers/mobile_checker.py``.

``python mobile_child.py LIST OUT MODEL [OUT MODEL ...]``: LIST is ``nnapi`` or the file of a Core ML list; OUT gets
JSON with the version and the names of the nodes in each partition.
"""

import json
import sys
from pathlib import Path


def main(name: str, *files: str) -> None:
    import onnx
    import onnxruntime
    from onnxruntime.tools.mobile_helpers import usability_checker

    for out, model in zip(files[::2], files[1::2], strict=True):
        sized = onnx.shape_inference.infer_shapes(onnx.load(model, load_external_data=False))
        if name == "nnapi":
            found = usability_checker.check_nnapi_partitions(sized, True)
        else:
            found = usability_checker.check_coreml_partitions(sized, True, name)
        groups = [[node.name for node in group] for group in found.supported_groups]
        Path(out).write_text(json.dumps({"onnxruntime": onnxruntime.__version__, "groups": groups}))


if __name__ == "__main__":
    main(*sys.argv[1:])

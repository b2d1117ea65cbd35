"""Quantises a float model as QNN's provider wants it, by ONNX Runtime's own quantiser; started by ``compilers/qnn.py``.

``python qnn_quantise_child.py PRECISION MODEL OUT [MODEL OUT ...]``: PRECISION is w8a8 or w8a16. A model that the
quantiser does not take leaves no OUT; its words are printed.
"""

import logging
import sys
from pathlib import Path
from typing import Any

NUMBERS = {"float": "float32", "double": "float64"}
"""ONNX Runtime's words for element types where they are not NumPy's."""


def main(precision: str, *files: str) -> None:
    logging.disable(logging.WARNING)
    for model, out in zip(files[::2], files[1::2], strict=True):
        try:
            quantised(model, out, precision)
        except Exception as problem:  # the quantiser raises many kinds; the words are the answer
            Path(out).unlink(missing_ok=True)
            print(f"{model}: {problem}")


def quantised(model: str, out: str, precision: str) -> None:
    from onnxruntime.quantization import QuantType, quantize
    from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config, qnn_preprocess_model

    prepared = str(Path(out).with_suffix(".prepared.onnx"))
    source = prepared if qnn_preprocess_model(model, prepared) else model
    activations = QuantType.QUInt16 if precision == "w8a16" else QuantType.QUInt8
    config = get_qnn_qdq_config(source, Samples(source), activation_type=activations, weight_type=QuantType.QUInt8)
    quantize(source, out, config)


class Samples:
    """Two random samples: they set scales, never where an operator runs."""

    def __init__(self, model: str) -> None:
        import numpy as np
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        random = np.random.default_rng(0)
        self.left: list[dict[str, Any]] = [{}, {}]
        for given in session.get_inputs():
            kind = given.type.removeprefix("tensor(").removesuffix(")")
            dtype = NUMBERS.get(kind, kind)
            shape = [size if isinstance(size, int) else 1 for size in given.shape]
            for sample in self.left:
                values = random.standard_normal(shape) if dtype.startswith("float") else np.zeros(shape)
                sample[given.name] = values.astype(dtype)

    def get_next(self) -> "dict[str, Any] | None":
        return self.left.pop() if self.left else None

    def set_range(self, start_index: int, end_index: int) -> None:
        """Not asked for: ONNX Runtime calls it for samples that come in parts."""


if __name__ == "__main__":
    main(*sys.argv[1:])

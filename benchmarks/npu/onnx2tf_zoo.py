"""The micro models as onnx2tf writes them to full-integer INT8 TFLite; to run in an interpreter that holds onnx2tf.

    PYTHON onnx2tf_zoo.py OUT MODEL.onnx...

Each conversion is a fork. Inputs of other than four dimensions are calibrated with samples of their own. What fails
leaves OUT/NAME.fail with the last words. Forms that are not asked for (float, dynamic range) are not worked out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import numpy as np

MADE = "*_full_integer_quant.tflite"


def prepare() -> None:
    """Samples without a download; only the full-integer form is converted."""
    import onnx2tf  # noqa: F401
    import tensorflow as tf
    from tensorflow.lite.python import lite

    samples = np.random.RandomState(0).rand(20, 128, 128, 3).astype(np.float32)
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("onnx2tf") and hasattr(module, "download_test_image_data"):
            vars(module)["download_test_image_data"] = lambda *_, **__: samples
    for name in ("TFLiteKerasModelConverterV2", "TFLiteSavedModelConverterV2", "TFLiteFrozenGraphConverterV2"):
        only_full_integer(getattr(lite, name), tf.int8)


def only_full_integer(kind: Any, wanted: Any) -> None:
    real = kind.convert

    def convert(self: Any) -> Any:
        if getattr(self, "inference_input_type", None) == wanted:
            return real(self)
        if list(Path("made").glob(MADE)):
            sys.stdout.flush()
            os._exit(0)
        return b"left out"

    kind.convert = convert


def samples_of(model: Any) -> list[list[Any]]:
    """Calibration data for inputs that are no images."""
    held = {tensor.name for tensor in model.graph.initializer}
    found: list[list[Any]] = []
    for value in model.graph.input:
        sizes = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
        if value.name in held or len(sizes) == 4 or value.type.tensor_type.elem_type != 1:
            continue
        sizes = [sizes[0], *sizes[2:], sizes[1]] if len(sizes) > 2 else sizes
        file = value.name.replace("/", "_") + ".npy"
        np.save(file, np.random.RandomState(0).rand(20, *sizes[1:]).astype(np.float32))
        found.append([value.name, file, [0.0], [1.0]])
    return found


def convert(path: Path) -> None:
    """Convert one model in the working folder."""
    import onnx
    import onnx2tf

    model = onnx.load(str(path))
    samples = samples_of(model)
    onnx.save(model, "model.onnx")
    onnx2tf.convert(
        input_onnx_file_path="model.onnx",
        output_folder_path="made",
        output_integer_quantized_tflite=True,
        not_use_onnxsim=True,
        custom_input_op_name_np_data_path=samples or None,
    )


def one(path: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        child = os.fork()
        if child == 0:
            os.chdir(folder)
            words = os.open("log", os.O_WRONLY | os.O_CREAT)
            os.dup2(words, 1)
            os.dup2(words, 2)
            try:
                convert(path)
            except BaseException:
                traceback.print_exc()
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        made = list(folder.glob(f"made/{MADE}"))
        if made:
            shutil.copyfile(made[0], out / f"{path.stem}.tflite")
        else:
            (out / f"{path.stem}.fail").write_text((folder / "log").read_text(errors="replace")[-2000:])


if __name__ == "__main__":
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1")
    prepare()
    target = Path(sys.argv[1]).resolve()
    target.mkdir(parents=True, exist_ok=True)
    for file in sys.argv[2:]:
        one(Path(file).resolve(), target)

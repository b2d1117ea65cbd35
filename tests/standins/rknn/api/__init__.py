"""A stand-in for RKNN-Toolkit2 2.5.0: names and signatures of ``rknn/api/rknn.py`` in its x86 wheel (those we call).

``build`` prints a table of layers as the real compiler does in its verbose log; ``export_rknn`` writes a small real
file layout (``made_rknn.py``); the simulator gives inputs back. What the real one leaves lying where it stands
(``check0_base_optimize.onnx``) this one leaves too. ``RKNN_STANDIN=raises``: building raises as the real one does.
"""

import os
from pathlib import Path

import numpy

TABLE = (
    "D RKNN: [14:34:00.921] 0   InputOperator  FLOAT16 CPU \\ (1,3,2,2) 0/0/0 0 \\ InputOperator:x",
    "D RKNN: [14:34:00.921] 1   ConvRelu       FLOAT16 NPU (1,3,2,2) (1,3,2,2) 1/2/2 1 0/0 Conv:c",
    "D RKNN: [14:34:00.921] 2   Softmax        FLOAT16 CPU (1,12) (1,12) 0/0/0 1 \\ Softmax:s",
    "D RKNN: [14:34:00.921] 3   OutputOperator FLOAT16 CPU (1,12) \\ 0/0/0 1 \\ OutputOperator:y",
)


class RKNN:
    NPU_CORE_AUTO = 0

    def __init__(self, verbose=False, verbose_file=None):
        self.verbose, self.platform, self.sizes = verbose, None, None

    def config(
        self,
        mean_values=None,
        std_values=None,
        quantized_dtype="w8a8",
        quantized_algorithm="normal",
        quantized_method="channel",
        quantized_hybrid_level=0,
        target_platform=None,
        quant_img_RGB2BGR=False,
        float_dtype="float16",
        optimization_level=3,
        custom_string=None,
        remove_weight=False,
        compress_weight=False,
        inputs_yuv_fmt=None,
        single_core_mode=False,
        dynamic_input=None,
        model_pruning=False,
        op_target=None,
        quantize_weight=False,
        remove_reshape=False,
        sparse_infer=False,
        mini_rknn=False,
        enable_flash_attention=False,
        auto_hybrid_cos_thresh=0.98,
        auto_hybrid_euc_thresh=None,
        memory_plan_strategy="BestFit",
        compute_order="WidthFirst",
        compiler_control_file=None,
        **kwargs,
    ):
        if not target_platform.startswith("rk"):
            raise ValueError(
                'Traceback (most recent call last):\n  File "rknn/api/rknn_base.py", line 961\n'
                f"ValueError: Invalid target_platform {target_platform!r}!\n"
            )
        self.platform = target_platform
        return 0

    def load_onnx(self, model, inputs=None, input_size_list=None, input_initial_val=None, outputs=None):
        self.names, self.sizes = inputs, input_size_list
        return 0

    def build(self, do_quantization=True, dataset=None, rknn_batch_size=None, auto_hybrid=False):
        Path("check0_base_optimize.onnx").write_bytes(b"")
        if os.environ.get("RKNN_STANDIN") == "raises":
            raise ValueError("Traceback (most recent call last):\nValueError: assignment destination is read-only\n")
        if self.verbose:
            os.write(1, "\n".join(TABLE).encode())
        self.quantised = do_quantization
        return 0

    def export_rknn(self, export_path, **kwargs):
        from made_rknn import rknn_bytes

        kind = "int8" if self.quantised else ""
        inputs = list(zip(self.names, self.sizes, strict=True))
        Path(export_path).write_bytes(rknn_bytes(self.platform, inputs=inputs, kind=kind))
        return 0

    def init_runtime(
        self,
        target=None,
        device_id=None,
        perf_debug=False,
        eval_mem=False,
        async_mode=False,
        core_mask=0,
        fallback_prior_device="cpu",
    ):
        return 0 if target is None else -1

    def inference(self, inputs, data_format=None, inputs_pass_through=None, get_frame_id=False):
        return [numpy.array(array).reshape(1, -1) for array in inputs]

    def get_sdk_version(self):
        raise ValueError("Not support in simulator environment, please set target in init_runtime!")

    def release(self):
        pass

"""A stand-in for RKNN-Toolkit-Lite2 2.5.0: names and signatures of ``rknnlite/api/rknn_lite.py`` in its aarch64 wheel.

It takes the files that ``made_rknn.py`` makes, and gives each input back, flat, as the runtime gets it: 4-D ones with
channels last. ``RKNN_STANDIN`` in the environment says what is wrong with the board; the words are those of the real
runtime (rockchip-linux/rknn-toolkit2, issues 212 and 281).
"""

import os
import sys
from pathlib import Path

import numpy

TROUBLES = {
    "old-runtime": (
        "I RKNN: [14:34:00.921] RKNN Runtime Information: librknnrt version: 1.4.0 (a10f100eb@2022-09-09T09:07:14)",
        "I RKNN: [14:34:00.922] RKNN Driver Information: version: 0.9.8",
        "E RKNN: [14:34:00.922] 6, 1",
        "E RKNN: [14:34:00.922] Invalid RKNN model version 6",
        "E RKNN: [14:34:00.922] rknn_init, load model failed!",
        "E Catch exception when init runtime!",
        "E Traceback (most recent call last):",
        "Exception: RKNN init failed. error code: RKNN_ERR_FAIL",
    ),
    "no-driver": (
        "E RKNN: [14:34:00.922] failed to open rknpu module, need to insmod rknpu dirver!",
        "E RKNN: [14:34:00.922] failed to open rknn device!",
        "Exception: RKNN init failed. error code: RKNN_ERR_FAIL",
    ),
}


class RKNNLite:
    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1 = 3
    NPU_CORE_0_1_2 = 7
    NPU_CORE_ALL = 0xFFFF

    def __init__(self, verbose=False, verbose_file=None):
        self.rknn_data = None
        self.masks = None

    def load_rknn(self, path, key_path=None):
        if not Path(path).exists():
            return -1
        self.rknn_data = Path(path).read_bytes()
        return 0

    def list_devices(self):
        return [], []

    def init_runtime(self, target=None, device_id=None, async_mode=False, core_mask=NPU_CORE_AUTO):
        os.write(1, "\n".join(TROUBLES.get(os.environ.get("RKNN_STANDIN", ""), ())).encode())
        if os.environ.get("RKNN_STANDIN") in TROUBLES:
            return -1
        self.mask = core_mask
        return 0

    def inference(
        self,
        inputs,
        data_type=None,
        data_format=None,
        inputs_pass_through=None,
        get_frame_id=False,
        reuse_outputs=False,
    ):
        if os.environ.get("RKNN_STANDIN") == "dies":
            print("E Catch exception when running RKNN model.", file=sys.stderr)
            return None
        return [numpy.array(array).reshape(1, -1) for array in inputs]

    def get_sdk_version(self):
        return "API: 2.3.2 (429f97ae6b@2025-04-09T09:09:27)\nDRV: rknn_server: 2.3.2"

    def list_support_target_platform(self, rknn_model=None):
        return {}

    def release(self):
        pass

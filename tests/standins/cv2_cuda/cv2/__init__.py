"""A stand-in for OpenCV 4.14 built with CUDA: the installed ``cv2`` computes, its dnn answers as a CUDA build does.

Names and signatures are those of OpenCV's Python bindings (docs and type stubs of 4.14, cv2/dnn/__init__.pyi); the log
lines and what falls back silently are those of modules/dnn/src/net_impl.cpp, net_impl_backend.cpp and op_cuda.cpp of
4.x. The variable WHICHPU_STANDIN_CV2 says in JSON what kind of build and machine it is:

``built``       was it built with CUDA and cuDNN (true)
``devices``     number of CUDA devices, -1 for a missing driver (1)
``compatible``  was it built for this GPU (true)
``fp16``        has the GPU fp16 (true)
``on_cpu``      layer types without CUDA code ([])
``declines``    layer types whose CUDA code declines, of which no log tells ([])
``quantized``   is every network quantised (false)
"""

import importlib
import json
import os
import sys
import types
from pathlib import Path

SAYS = {"built": True, "devices": 1, "compatible": True, "fp16": True, "on_cpu": [], "declines": [], "quantized": False}
SAYS.update(json.loads(os.environ.get("WHICHPU_STANDIN_CV2", "{}")))
HERE = Path(__file__).resolve().parent.parent
TRACE = os.environ.pop("OPENCV_TRACE_LOCATION", None) if os.environ.pop("OPENCV_TRACE", None) else None
"""The installed one would trace its own layers, which all run on the CPU."""


def _the_installed_one():
    this, path = sys.modules.pop("cv2"), list(sys.path)
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != HERE]
    try:
        return importlib.import_module("cv2")
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name == "cv2" or name.startswith("cv2.")]:
            del sys.modules[name]
        sys.modules["cv2"] = this


_real = _the_installed_one()
__version__ = _real.__version__
error, Mat = _real.error, _real.Mat
setNumThreads, getNumThreads, getTickFrequency = _real.setNumThreads, _real.getNumThreads, _real.getTickFrequency
ocl = _real.ocl
imread, cvtColor, resize = _real.imread, _real.cvtColor, _real.resize


def getBuildInformation():
    rows = "\n  NVIDIA CUDA:                   YES (ver 12.8)\n  cuDNN:                         YES (ver 9.8.0)\n"
    return _real.getBuildInformation() + (rows if SAYS["built"] else "")


_level = [_real.utils.logging.LOG_LEVEL_WARNING]


def _log(level, text):
    names = {_real.utils.logging.LOG_LEVEL_INFO: " INFO", _real.utils.logging.LOG_LEVEL_WARNING: " WARN"}
    stream = sys.stdout if level == _real.utils.logging.LOG_LEVEL_INFO else sys.stderr
    if level <= _level[0]:
        print(f"[{names[level]}:0@0.100] global net_impl.cpp:1 setUpNet {text}", file=stream, flush=True)


def _set_log_level(logLevel):
    before, _level[0] = _level[0], logLevel
    return before


def _trace(kinds):
    """One inference as modules/core/src/trace.cpp writes it: a layer's own ``forward`` is called on the CPU only."""
    names = (
        "Net::Impl::forwardToLayer(LayerData&)",
        "Net::Impl::forwardLayer(LayerData&)",
        "LayerImpl::forward(Input)",
    )
    rows = [f'l,{place},"net_impl.cpp",1,"void cv::dnn::{name}",0x1' for place, name in enumerate(names, 1)]
    Path(TRACE + ".txt").write_text("\n".join(rows), encoding="utf-8")
    inside = [["b,0,1,3,1", "e,0,1,3,1"] if kind in SAYS["on_cpu"] + SAYS["declines"] else [] for kind in kinds]
    layers = [["b,0,1,2,1", *lines, "e,0,1,2,1"] for lines in [[], *inside]]
    events = ["b,0,1,1,1", *[line for lines in layers for line in lines], "e,0,1,1,1"]
    with Path(TRACE + "-000.txt").open("a", encoding="utf-8") as file:
        file.write("\n".join(events) + "\n")


class Net:
    def __init__(self, net):
        self._net, self._backend, self._target, self._told = net, 0, 0, False

    def empty(self):
        return self._net.empty()

    def setPreferableBackend(self, backendId):
        if SAYS["quantized"] and backendId == dnn.DNN_BACKEND_CUDA:
            _log(
                _real.utils.logging.LOG_LEVEL_WARNING,
                "DNN: Only default, TIMVX and OpenVINO backends support quantized networks",
            )
            backendId = dnn.DNN_BACKEND_OPENCV
        self._backend, self._told = backendId, False

    def setPreferableTarget(self, targetId):
        cuda = (dnn.DNN_TARGET_CUDA, dnn.DNN_TARGET_CUDA_FP16)
        if targetId in cuda and not SAYS["built"]:
            targetId = dnn.DNN_TARGET_CPU
        self._target, self._told = targetId, False

    def setInput(self, blob, name="", scalefactor=1.0, mean=(0, 0, 0, 0)):
        self._net.setInput(blob, name, scalefactor, mean)

    def forward(self, outBlobNames, outputBlobs=None):
        if not self._told:
            self._set_up()
        if TRACE is not None:
            _trace([self._net.getLayer(name).type for name in self._net.getLayerNames()])
        return self._net.forward(outBlobNames)

    def _set_up(self):
        self._told = True
        info = _real.utils.logging.LOG_LEVEL_INFO
        if self._backend != dnn.DNN_BACKEND_CUDA:
            return
        if not SAYS["built"]:
            _log(_real.utils.logging.LOG_LEVEL_WARNING, "DNN module was not built with CUDA backend; switching to CPU")
        elif SAYS["devices"] <= 0:
            raise error("No CUDA capable device found.")
        for name in self._net.getLayerNames():
            kind = self._net.getLayer(name).type
            if kind in SAYS["on_cpu"]:
                words = 'CUDA backend will fallback to the CPU implementation for the layer "%s" of type %s\n'
                _log(info, words % (name, kind))

    def getPerfProfile(self):
        return self._net.getPerfProfile()

    def getLayerNames(self):
        return self._net.getLayerNames()

    def getLayer(self, layerId):
        return self._net.getLayer(layerId)

    def getLayerTypes(self):
        return self._net.getLayerTypes()

    def getLayersCount(self, layerType):
        return self._net.getLayersCount(layerType)

    def getUnconnectedOutLayersNames(self):
        return self._net.getUnconnectedOutLayersNames()


def _read(onnxFile):
    return Net(_real.dnn.readNetFromONNX(onnxFile))


def _available(be):
    found = list(_real.dnn.getAvailableTargets(be))
    if be == dnn.DNN_BACKEND_CUDA and SAYS["built"] and SAYS["devices"] > 0 and SAYS["compatible"]:
        found += [dnn.DNN_TARGET_CUDA] + [dnn.DNN_TARGET_CUDA_FP16] * SAYS["fp16"]
    return found


def _count():
    return SAYS["devices"] if SAYS["built"] else 0


dnn = types.SimpleNamespace(
    **{name: getattr(_real.dnn, name) for name in dir(_real.dnn) if name.startswith(("DNN_BACKEND_", "DNN_TARGET_"))},
    Net=Net,
    readNetFromONNX=_read,
    getAvailableTargets=_available,
)
cuda = types.SimpleNamespace(getCudaEnabledDeviceCount=_count)
utils = types.SimpleNamespace(
    logging=types.SimpleNamespace(setLogLevel=_set_log_level, LOG_LEVEL_INFO=_real.utils.logging.LOG_LEVEL_INFO)
)

"""A stand-in for ONNX Runtime's Python package, 1.31: names and signatures read off onnxruntime 1.31.1 with inspect.

Operators are computed by onnx's reference evaluator. ``ORT_STANDIN`` (JSON) tells what the machine has:
``available`` providers; ``takes``: operator kinds of each (all, where not named); ``missing``: providers that don't
start; ``version``. ``counted`` counts what costs time: buffers allocated, copies to a device, inputs bound, outputs
fetched into buffers that were there.
Options that a provider knows: docs/execution-providers of ONNX Runtime; an unknown one is refused as there.
"""

import collections
import contextlib
import enum
import json
import os
import pathlib
import types

import numpy
import onnx
import onnx.reference

TOLD = json.loads(os.environ.get("ORT_STANDIN", "{}"))
__version__ = TOLD.get("version", "1.31.1")
CPU = "CPUExecutionProvider"
ON_GPU = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "DmlExecutionProvider", "MIGraphXExecutionProvider")
KNOWN = {
    "CUDAExecutionProvider": "device_id enable_cuda_graph use_tf32 gpu_mem_limit cudnn_conv_algo_search",
    "TensorrtExecutionProvider": "device_id trt_cuda_graph_enable trt_fp16_enable trt_int8_enable trt_dla_enable"
    " trt_dla_core trt_engine_cache_enable",
    "OpenVINOExecutionProvider": "device_type num_of_threads precision num_streams cache_dir load_config",
    "CoreMLExecutionProvider": "ModelFormat MLComputeUnits RequireStaticInputShapes EnableOnSubgraphs"
    " SpecializationStrategy AllowLowPrecisionAccumulationOnGPU ModelCacheDirectory",
    "DmlExecutionProvider": "device_id performance_preference device_filter disable_metacommands",
    "MIGraphXExecutionProvider": "device_id migraphx_fp16_enable migraphx_int8_enable migraphx_exhaustive_tune",
    "XnnpackExecutionProvider": "intra_op_num_threads",
    "ACLExecutionProvider": "enable_fast_math",
}
counted = collections.Counter()
sessions = []
plugged = []


class GraphOptimizationLevel(enum.Enum):
    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_ALL = 99


class OrtHardwareDeviceType(enum.Enum):
    CPU = 0
    GPU = 1
    NPU = 2


def get_available_providers():
    return [*TOLD.get("available", []), CPU]


def get_ep_devices():
    return list(plugged)


def register_execution_provider_library(registration_name, library_path):
    device = types.SimpleNamespace(type=OrtHardwareDeviceType.NPU)
    plugged.append(types.SimpleNamespace(ep_name=registration_name, ep_vendor="Contoso", device=device))


def preload_dlls(cuda=True, cudnn=True, msvc=True, directory=None):
    print("Failed to load libcublasLt.so.13: not found")


def copy_tensors(src, dst, stream=None):
    counted["fetched"] += 1
    for source, target in zip(src, dst, strict=True):
        target._ortvalue.array[...] = source._ortvalue.array


class SessionOptions:
    def __init__(self):
        self.entries, self.sizes, self.providers = {}, {}, []
        self.enable_profiling, self.profile_file_prefix = False, ""
        self.intra_op_num_threads = self.inter_op_num_threads = 0
        self.enable_mem_pattern = True

    def add_session_config_entry(self, arg0, arg1):
        self.entries[arg0] = arg1

    def add_free_dimension_override_by_name(self, arg0, arg1):
        self.sizes[arg0] = arg1

    def add_provider_for_devices(self, arg0, arg1):
        self.providers = [(arg0[0].ep_name, dict(arg1))]


class _Value:
    """The C object behind an OrtValue."""

    def __init__(self, array, on_device):
        self.array, self.on_device = array, on_device

    def update_inplace(self, data):
        counted["updated"] += 1
        if data.shape != self.array.shape:
            raise RuntimeError("The input size of numpy arrays does not match the size of the OrtValue.")
        self.array[...] = data


class OrtValue:
    def __init__(self, ortvalue, numpy_obj=None, session=None):
        self._ortvalue = ortvalue

    @classmethod
    def ortvalue_from_numpy(cls, numpy_obj, /, device_type="cpu", device_id=0, vendor_id=-1):
        counted["allocated"] += device_type != "cpu"
        return cls(_Value(numpy_obj if device_type == "cpu" else numpy_obj.copy(), device_type != "cpu"))

    @classmethod
    def ortvalue_from_shape_and_type(
        cls, shape, element_type, device_type="cpu", device_id=0, vendor_id=-1, memory_info=None
    ):
        counted["allocated"] += device_type != "cpu"
        return cls(_Value(numpy.zeros(shape, element_type), device_type != "cpu"))

    def update_inplace(self, data):
        self._ortvalue.update_inplace(data)

    def numpy(self):
        return self._ortvalue.array.copy() if self._ortvalue.on_device else self._ortvalue.array

    def shape(self):
        return list(self._ortvalue.array.shape)


class IOBinding:
    def __init__(self, session):
        self._iobinding = types.SimpleNamespace(inputs={}, outputs={})
        self.moves = session.on_gpu

    def bind_ortvalue_input(self, name, ortvalue):
        counted["bound"] += 1
        value = ortvalue._ortvalue
        if self.moves and not value.on_device:
            value = _Value(value.array.copy(), True)
        self._iobinding.inputs[name] = value

    def bind_output(self, name, device_type="cpu", device_id=0, element_type=None, shape=None, buffer_ptr=None):
        self._iobinding.outputs[name] = None

    def bind_ortvalue_output(self, name, ortvalue):
        self._iobinding.outputs[name] = ortvalue._ortvalue

    def get_outputs(self):
        return [OrtValue(value) for value in self._iobinding.outputs.values()]


class _Session:
    """The C object behind a session; a captured CUDA graph reads and writes where it did when it was captured."""

    def __init__(self, model, graph):
        self.evaluator = onnx.reference.ReferenceEvaluator(model)
        self.names = [value.name for value in model.graph.output]
        self.graph, self.captured, self.runs = graph, None, 0

    def run_with_iobinding(self, arg0, arg1):
        self.runs += 1
        if self.graph and self.captured is None:
            if any(value is None or not value.on_device for value in arg0.outputs.values()):
                raise RuntimeError("a CUDA graph needs outputs on the device")
            self.captured = (dict(arg0.inputs), dict(arg0.outputs))
        inputs, outputs = self.captured or (arg0.inputs, arg0.outputs)
        given = {name: value.array for name, value in inputs.items()}
        for name, array in zip(self.names, self.evaluator.run(None, given), strict=True):
            if outputs[name] is None:
                outputs[name] = _Value(numpy.array(array), False)
            else:
                outputs[name].array[...] = array


class InferenceSession:
    def __init__(self, path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs):
        sessions.append(self)
        self.options = sess_options
        wanted = providers if providers is not None else sess_options.providers
        pairs = [entry if isinstance(entry, tuple) else (entry, {}) for entry in wanted]
        started = [(name, options) for name, options in pairs if _starts(name, options)]
        self.chain = [*dict(started), *([] if CPU in dict(started) else [CPU])]
        self.given = dict(started)
        self.model = onnx.load(path_or_bytes)
        self.on_gpu = self.chain[0] in ON_GPU
        graph = any(options.get(key) == "1" for _, options in started for key in options if "cuda_graph" in key)
        self._sess = _Session(self.model, graph)

    def get_providers(self):
        return list(self.chain)

    def get_provider_options(self):
        read = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
        return {name: self.given.get(name, {}) if name in read else {} for name in self.chain}

    def get_inputs(self):
        return [_argument(value, self.options.sizes) for value in self.model.graph.input]

    def get_outputs(self):
        return [_argument(value, self.options.sizes) for value in self.model.graph.output]

    def io_binding(self):
        return IOBinding(self)

    def run_with_iobinding(self, iobinding, run_options=None):
        self._sess.run_with_iobinding(iobinding._iobinding, run_options)

    def get_provider_graph_assignment_info(self):
        if self.options.entries.get("session.record_ep_graph_assignment_info") != "1":
            raise RuntimeError("session.record_ep_graph_assignment_info is not set")
        parts = [(node, self._provider_of(node.op_type)) for node in self.model.graph.node]
        return [types.SimpleNamespace(ep_name=name, get_nodes=lambda node=node: [node]) for node, name in parts]

    def end_profiling(self):
        path = self.options.profile_file_prefix + "_1.json"
        events = [
            {"cat": "Node", "name": f"n{index}_kernel_time", "ts": index, "dur": 1,
             "args": {"provider": self._provider_of(node.op_type), "op_name": node.op_type}}
            for _ in range(self._sess.runs) for index, node in enumerate(self.model.graph.node)
        ]  # fmt: skip
        pathlib.Path(path).write_text(json.dumps(events))
        return path

    def _provider_of(self, kind):
        takes = TOLD.get("takes", {})
        return next(name for name in self.chain if name == CPU or kind in takes.get(name, [kind]))


if tuple(map(int, __version__.split(".")[:2])) < (1, 24):
    del InferenceSession.get_provider_graph_assignment_info


def _starts(name, options):
    """Whether a provider starts; one that doesn't is left out, and only the log says so."""
    unknown = [key for key in options if key not in KNOWN.get(name, " ".join(options)).split()]
    if unknown:
        raise RuntimeError(
            f'/onnxruntime_src/x.h:151 onnxruntime::Parse(const T&) Unknown provider option: "{unknown[0]}".'
        )
    if name not in TOLD.get("missing", []):
        return True
    with contextlib.suppress(OSError):
        os.write(2, f"\x1b[1;31m2026-01-01 00:00:00 [E:onnxruntime:Default, bridge.cc:1 Get] /src/bridge.cc:2 T Get() "
                    f"[ONNXRuntimeError] : 1 : FAIL : Failed to load library /opt/x/lib{name}.so with error: "
                    f"libcublasLt.so.13: cannot open shared object file\n\x1b[m".encode())  # fmt: skip
        os.write(2, f"\x1b[0;93m2026-01-01 00:00:00 [W:onnxruntime:Default, s.cc:1 F] Failed to create {name}. Require "
                    "cuDNN 9.* and CUDA 13.*. Please install all dependencies\x1b[m\n".encode())  # fmt: skip
    return False


def _argument(value, sizes):
    tensor = value.type.tensor_type
    kind = {1: "float", 10: "float16", 7: "int64"}[tensor.elem_type]
    dims = [dim.dim_value or sizes.get(dim.dim_param, dim.dim_param) for dim in tensor.shape.dim]
    return types.SimpleNamespace(name=value.name, type=f"tensor({kind})", shape=dims)

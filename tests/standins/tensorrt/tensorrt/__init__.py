"""A stand-in for TensorRT's Python package: 8.6.1, 10.3.0 or 11.4.0, whose members it has, and no others.

Names, signatures and enumerations are those of NVIDIA's wheels of these versions, recorded in
``tests/data/tensorrt/signatures.json``. It computes with ONNX Runtime, on the stand-in of CUDA's runtime library
(``cudart.c``), and only when the stream is waited for. ``TENSORRT_STANDIN`` (JSON) tells it, for the child process:

``version``      which it is (default 10.3.0); ``bindings``: without what came with 8.5, as JetPack 5.0 has it
``cores``        DLA cores (default 2); ``off``: words by operator that the DLA does not take
``moved``        words by layer that the builder moves to the GPU all the same
``parse_error``, ``build_error``, ``metadata``, ``chip``: what its parser and builder say; the GPU that engines are for
"""

import base64
import ctypes
import enum
import json
import os
import re
from pathlib import Path

TOLD = json.loads(os.environ.get("TENSORRT_STANDIN", "{}"))
__version__ = TOLD.get("version", "10.3.0")
RECORDED = json.loads((Path(__file__).resolve().parents[3] / "data/tensorrt/signatures.json").read_text())["versions"]
OF = RECORDED[__version__]
CHIP = TOLD.get("chip", "sm_87")
MAJOR = int(__version__.split(".")[0])
SINCE_8_5 = ("num_io_tensors", "set_input_shape", "set_tensor_address", "execute_async_v3")


def _enum(name):
    return enum.IntEnum(name, OF["enums"][name])


BuilderFlag = _enum("BuilderFlag")
DataType = _enum("DataType")
DeviceType = _enum("DeviceType")
LayerInformationFormat = _enum("LayerInformationFormat")
MemoryPoolType = _enum("MemoryPoolType")
NetworkDefinitionCreationFlag = _enum("NetworkDefinitionCreationFlag")
ProfilingVerbosity = _enum("ProfilingVerbosity")
TensorIOMode = _enum("TensorIOMode")
TensorLocation = _enum("TensorLocation")
LayerType = enum.IntEnum("LayerType", {"CONVOLUTION": 0, "ACTIVATION": 2, "ELEMENTWISE": 9, "CONSTANT": 19})
"""Those that it makes, with the numbers of 10.3.0."""
TensorFormat = enum.IntEnum("TensorFormat", {"LINEAR": 0})
TYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int64)": "INT64", "tensor(uint8)": "UINT8"}
NUMPY = {"FLOAT": "float32", "HALF": "float16", "INT64": "int64", "UINT8": "uint8"}
CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _cudart():
    library = ctypes.CDLL("libcudart.so.13")
    library.standin_enqueue.argtypes = (ctypes.c_void_p, CALL, ctypes.c_void_p)
    return library


def init_libnvinfer_plugins(logger, namespace):
    assert isinstance(logger, ILogger) and namespace == ""
    registered.append(logger)
    return True


registered = []


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        pass

    def log(self, severity, msg):
        raise NotImplementedError


class IInt8EntropyCalibrator2:
    def __init__(self):
        pass

    def get_batch_size(self):
        raise NotImplementedError

    def get_batch(self, names):
        raise NotImplementedError

    def read_calibration_cache(self):
        raise NotImplementedError

    def write_calibration_cache(self, cache):
        raise NotImplementedError


class ITensor:
    def __init__(self, name, shape=()):
        self.name, self.shape = name, shape


class ILayer:
    def __init__(self, node, kind):
        self.name, self.node, self.type = node.name, node.op_type if kind != LayerType.CONSTANT else "constant", kind
        self.metadata = f"[ONNX Layer: {node.name}]" if TOLD.get("metadata", True) else ""
        self.num_outputs, self._output = 1, node.output

    def get_output(self, index):
        return ITensor(self._output[index])


class INetworkDefinition:
    def __init__(self, flags):
        self.flags, self.layers, self.inputs, self.onnx = flags, [], [], b""

    num_layers = property(lambda self: len(self.layers))
    num_inputs = property(lambda self: len(self.inputs))

    def get_layer(self, index):
        return self.layers[index]

    def get_input(self, index):
        return self.inputs[index]


class IHostMemory(bytes):
    """Bytes stand for the buffer that TensorRT gives."""


class ITimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return IHostMemory(self.data)


class IOptimizationProfile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):
        self.shapes[input] = list(opt)


class IBuilderConfig:
    def __init__(self, logger):
        self._logger, self.flags, self.calibrated = logger, {BuilderFlag.TF32}, None
        self.default_device_type, self.DLA_core = DeviceType.GPU, -1
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.builder_optimization_level, self._workspace, self._cache, self.profiles = 3, 8 << 30, None, []
        if MAJOR < 11:
            self.int8_calibrator = None

    def set_flag(self, flag):
        assert isinstance(flag, BuilderFlag)
        self.flags.add(flag)

    def clear_flag(self, flag):
        self.flags.discard(flag)

    def get_flag(self, flag):
        return flag in self.flags

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool == MemoryPoolType.WORKSPACE
        self._workspace = pool_size

    def get_memory_pool_limit(self, pool):
        return self._workspace

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_calibration_profile(self, profile):
        self.calibrated = profile.shapes
        return True

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(bytes(serialized_timing_cache) or b"timings")

    def set_timing_cache(self, cache, ignore_mismatch):
        self._cache = cache
        return ignore_mismatch or cache.data.startswith(b"timings")

    def get_timing_cache(self):
        return self._cache

    def can_run_on_DLA(self, layer):
        assert self.default_device_type == DeviceType.DLA
        assert MAJOR > 10 or BuilderFlag.FP16 in self.flags
        assert self.DLA_core in (0, 1)
        words = TOLD.get("off", {}).get(layer.node)
        if words is None:
            return True
        if words:
            self._logger.log(ILogger.Severity.WARNING, f"{layer.name}: {words}")
        self._logger.log(ILogger.Severity.INFO, "not worth telling")
        return False


class Builder:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger, self.num_DLA_cores, self.max_DLA_batch_size = logger, TOLD.get("cores", 2), 4096

    def create_network(self, flags=0):
        explicit = getattr(NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
        assert explicit is None or flags & (1 << int(explicit))
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig(self._logger)

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        if "build_error" in TOLD:
            self._logger.log(ILogger.Severity.ERROR, TOLD["build_error"])
            return None
        calibrator = getattr(config, "int8_calibrator", None)
        if calibrator is not None:
            assert not config.profiles or config.calibrated == config.profiles[0].shapes
            assert calibrator.get_batch_size() == 1
            if not calibrator.read_calibration_cache().startswith(b"TRT-"):
                assert calibrator.get_batch(["x"]) is None
                self._logger.log(
                    ILogger.Severity.ERROR, "Calibration failure occurred with no scaling factors detected"
                )
                return None
        plan = {"onnx": base64.b64encode(network.onnx).decode(), "chip": CHIP, "layers": self._layers(network, config)}
        plan["shapes"] = config.profiles[0].shapes if config.profiles else {}
        head = b"ftrt" + bytes(20) + bytes(int(part) for part in __version__.split(".")) + b"\0"
        return IHostMemory(head + json.dumps(plan).encode())

    def _layers(self, network, config):
        """What the inspector will tell: a part for each run of layers on the DLA, a layer for each on the GPU."""
        kind = "Half" if {"FP16"} & {flag.name for flag in config.flags} else "Float"
        found, run = [], []
        for layer in network.layers:
            if layer.type == LayerType.CONSTANT:
                continue
            if self._on_dla(config, layer):
                run.append(layer.name)
                continue
            found += _part(run, kind)
            run = []
            found.append(_told(layer.name, "CaskConvolution" if "Conv" in layer.name else "PointWise", kind))
            if config.default_device_type == DeviceType.DLA:
                self._logger.log(ILogger.Severity.INFO, f"[GpuLayer] {layer.type.name}: {layer.name}")
        return found + _part(run, kind)

    def _on_dla(self, config, layer):
        if config.default_device_type != DeviceType.DLA or layer.node in TOLD.get("off", {}):
            return False
        if layer.name in TOLD.get("moved", {}):
            words = f"{TOLD['moved'][layer.name]} Switching to GPU for layer {layer.name}"
            self._logger.log(ILogger.Severity.WARNING, words)
            return False
        return True


def _part(run, kind):
    return [_told(f"{{ForeignNode[{run[0]}...{run[-1]}]}}", "DLA", kind)] if run else []


def _told(name, kind, precision):
    tensor = [{"Name": "t", "Dimensions": [1], "Format/Datatype": precision}]
    return {"Name": name, "LayerType": kind, "Inputs": tensor, "Outputs": tensor}


class ParserError:
    def desc(self):
        return TOLD["parse_error"]

    def node(self):
        return 0

    def node_name(self):
        return "the first"

    def node_operator(self):
        return "Erf"


class OnnxParser:
    def __init__(self, network, logger):
        assert isinstance(logger, ILogger)
        self._network, self.num_errors = network, 0

    def parse_from_file(self, model):
        assert registered, "some operators are plug-ins"
        if "parse_error" in TOLD:
            self.num_errors = 1
            return False
        import onnx

        graph = onnx.load(model).graph
        for node in graph.node:
            kinds = [LayerType.CONSTANT, LayerType.ELEMENTWISE] if node.op_type == "Add" else [LayerType.ACTIVATION]
            kinds = [LayerType.CONVOLUTION] if node.op_type == "Conv" else kinds
            self._network.layers += [ILayer(node, kind) for kind in kinds]
        stored = {one.name for one in graph.initializer}
        for one in graph.input:
            if one.name not in stored:
                sizes = [size.dim_value or -1 for size in one.type.tensor_type.shape.dim]
                self._network.inputs.append(ITensor(one.name, tuple(sizes)))
        self._network.onnx = Path(model).read_bytes()
        return True

    def get_error(self, index):
        return ParserError()


class Runtime:
    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger, self.num_DLA_cores, self.DLA_core = logger, TOLD.get("cores", 2), -1

    def deserialize_cuda_engine(self, serialized_engine):
        """``None``, and words in the log, for what is no engine, of another version or for another GPU."""
        assert registered, "engines may hold plug-ins"
        version = ".".join(str(part) for part in serialized_engine[24:27])
        trouble = None
        if serialized_engine[:4] != b"ftrt":
            trouble = "Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match"
        elif version != __version__:
            trouble = (
                "Serialization assertion stdVersionRead == kSERIALIZATION_VERSION failed.Version tag does not match."
            )
        else:
            plan = json.loads(serialized_engine[28:])
            if plan["chip"] == CHIP:
                return ICudaEngine(plan)
            trouble = "The engine plan file is generated on an incompatible device, please rebuild."
        self._logger.log(ILogger.Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {trouble}")
        return None


class ICudaEngine:
    def __init__(self, plan):
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.log_severity_level = 1, 3
        self._plan = plan
        self._session = onnxruntime.InferenceSession(base64.b64decode(plan["onnx"]), settings, ["CPUExecutionProvider"])
        nodes = [*self._session.get_inputs(), *self._session.get_outputs()]
        self._nodes = {node.name: node for node in nodes}
        self._inputs = len(self._session.get_inputs())
        self.num_layers = len(plan["layers"])
        if MAJOR < 11:
            self.device_memory_size = 4096
        if MAJOR > 8:
            self.device_memory_size_v2 = 4096
        if not TOLD.get("bindings"):
            self.num_io_tensors = len(nodes)
        if MAJOR == 8:
            self.num_bindings = len(nodes)

    def create_execution_context(self, strategy=None):
        return IExecutionContext(self)

    def create_engine_inspector(self):
        return EngineInspector(self._plan)

    def get_tensor_name(self, index):
        return list(self._nodes)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if list(self._nodes).index(name) < self._inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType[TYPES[self._nodes[name].type]]

    def get_tensor_location(self, name):
        return TensorLocation.DEVICE

    def get_tensor_format(self, name):
        return TensorFormat.LINEAR

    def get_binding_name(self, index):
        return list(self._nodes)[index]

    def binding_is_input(self, index):
        return index < self._inputs

    def get_binding_dtype(self, index):
        return self.get_tensor_dtype(self.get_binding_name(index))

    def get_binding_format(self, index):
        return TensorFormat.LINEAR

    def get_location(self, index):
        return TensorLocation.DEVICE


class EngineInspector:
    """What tensors of a dynamic size are is told for a context that has their sizes."""

    def __init__(self, plan):
        self._plan, self.execution_context = plan, None

    def get_engine_information(self, format):
        assert format == LayerInformationFormat.JSON
        told = json.dumps({"Layers": self._plan["layers"], "Bindings": []})
        hidden = self._plan["shapes"] and not getattr(self.execution_context, "_shapes", None)
        return re.sub('"(Float|Half)"', '"N/A due to dynamic shapes"', told) if hidden else told


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._shapes, self._addresses = engine, {}, {}
        self._library, self._call = _cudart(), CALL(lambda _: self._run())
        self.nvtx_verbosity = None

    def get_tensor_shape(self, name):
        node = self._engine._nodes[name]
        given = self._shapes.get(name)
        if given is not None:
            return tuple(given)
        batch = next((shape[0] for shape in self._shapes.values()), -1)
        return tuple(size if isinstance(size, int) else batch for size in node.shape)

    def set_input_shape(self, name, shape):
        return self._set_shape(name, shape)

    def _set_shape(self, name, shape):
        """Until it is called a dynamic size is -1."""
        fixed = self._engine._plan["shapes"].get(name, self._engine._nodes[name].shape)
        if list(fixed) != list(shape):
            return False
        self._shapes[name] = list(shape)
        return True

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        assert set(self._addresses) == set(self._engine._nodes)
        return self._library.standin_enqueue(stream_handle, self._call, None) == 0

    def get_binding_shape(self, binding):
        return self.get_tensor_shape(list(self._engine._nodes)[binding])

    def set_binding_shape(self, binding, shape):
        return self._set_shape(list(self._engine._nodes)[binding], shape)

    def execute_async_v2(self, bindings, stream_handle, input_consumed=None):
        self._addresses = dict(zip(self._engine._nodes, bindings, strict=True))
        return self._library.standin_enqueue(stream_handle, self._call, None) == 0

    def _run(self):
        engine = self._engine
        names = list(engine._nodes)
        inputs = {name: self._array(name, self.get_tensor_shape(name)) for name in names[: engine._inputs]}
        outputs = engine._session.run(None, inputs)
        for name, array in zip(names[engine._inputs :], outputs, strict=True):
            self._array(name, array.shape)[...] = array

    def _array(self, name, shape):
        import numpy

        kind = numpy.dtype(NUMPY[self._engine.get_tensor_dtype(name).name])
        count = int(numpy.prod(shape, dtype=int))
        memory = (ctypes.c_char * max(1, count * kind.itemsize)).from_address(self._addresses[name])
        return numpy.frombuffer(memory, kind, count).reshape(shape)


def _fit():
    """Take away what the version does not have."""
    for name in ("IInt8EntropyCalibrator2",):
        if name not in OF["classes"]:
            del globals()[name]
    for name, members in OF["classes"].items():
        kind = globals()[name]
        for member in [one for one in vars(kind) if not one.startswith("_") and one != "Severity"]:
            if member not in members or (TOLD.get("bindings") and member in SINCE_8_5):
                delattr(kind, member)


_fit()

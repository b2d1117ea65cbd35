"""The part of the stand-in that infers; its signatures are held to those recorded in ``tests/test_hailo.py``.

``pyhailort.py`` of HailoRT 4.21 (``VDevice``, ``HEF``, ``InferModel``, ``ConfiguredInferModel``, ``AsyncInferJob``,
``InferVStreams``, ``ConfigureParams``, ``InputVStreamParams``), ``infer_model_api.cpp`` and ``vdevice_api.hpp`` of
4.23, ``pyhailort.cpp`` of 4.18 (enumerations, ``VDeviceParams``, ``VStreamInfo``): github.com/hailo-ai/hailort, MIT.

A network is told in ``MODEL.hef.json`` beside the HEF (``tests/made_hef.py``): it multiplies by ``gain``, quantised as
HailoRT would. What goes wrong is told by ``HAILO_STANDIN`` in the environment: ``{"fails": {"VDevice": "74"}}``.
"""

import enum
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy

from .control import Device, HailoRTException, modules

told = json.loads(os.environ.get("HAILO_STANDIN", "{}"))
BBOX_PARAMS = 5


def fail(where):
    if where in told.get("fails", {}):
        raise HailoRTException(f"libhailort failed with error: {told['fails'][where]}")


class FormatType(enum.Enum):
    AUTO = 0
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3


class FormatOrder(enum.Enum):
    AUTO = 0
    NHWC = 1
    NHCW = 2
    NC = 6
    NCHW = 11
    HAILO_NMS_WITH_BYTE_MASK = 20
    HAILO_NMS_BY_CLASS = 22
    HAILO_NMS_BY_SCORE = 23


class HailoSchedulingAlgorithm(enum.Enum):
    NONE = 0
    ROUND_ROBIN = 1


class HailoPowerMode(enum.Enum):
    PERFORMANCE = 0
    ULTRA_PERFORMANCE = 1


class HailoStreamInterface(enum.Enum):
    PCIe = 0
    INTEGRATED = 1
    ETH = 2


DTYPES = {FormatType.UINT8: "uint8", FormatType.UINT16: "uint16", FormatType.FLOAT32: "float32"}


PACKED = 24
"""Values in a frame of packed boxes."""


class PackedInfo(SimpleNamespace):
    """VStreamInfo of boxes without a shape, as pyhailort.cpp has it."""

    @property
    def shape(self):
        raise RuntimeError("Format order has no shape")


class Stream:
    """One input or output of the network in ``MODEL.hef.json``."""

    def __init__(self, facts):
        self.name = facts["name"]
        self.dims = facts["shape"]
        self.nms_shape = SimpleNamespace(**facts["nms"]) if "nms" in facts else None
        self.order = FormatOrder[facts["order"]]
        self.native = FormatType[facts.get("type", "uint8" if self.nms_shape is None else "float32").upper()]
        self.quant = SimpleNamespace(
            qp_scale=facts["scale"], qp_zp=facts["zero_point"], limvals_min=-1.0, limvals_max=1.0
        )

    @property
    def shape(self):
        """As bindings_common.hpp tells it to an InferModel."""
        nms = self.nms_shape
        if self.packed:
            return [PACKED]
        return [nms.number_of_classes * (1 + BBOX_PARAMS * nms.max_bboxes_per_class)] if nms else list(self.dims)

    @property
    def packed(self):
        return self.order in (FormatOrder.HAILO_NMS_WITH_BYTE_MASK, FormatOrder.HAILO_NMS_BY_SCORE)

    def info(self):
        """VStreamInfo, as pyhailort.cpp tells it."""
        nms = self.nms_shape
        shape = (nms.number_of_classes, BBOX_PARAMS, nms.max_bboxes_per_class) if nms else tuple(self.dims)
        format_ = SimpleNamespace(type=self.native, order=self.order, flags=0)
        facts = {"name": self.name, "network_name": "net", "format": format_, "quant_info": self.quant}
        kind = PackedInfo if self.packed else SimpleNamespace
        return kind(**facts, **({} if self.packed else {"shape": shape}), **({"nms_shape": nms} if nms else {}))

    def real(self, array):
        """What the user gives, as the chip sees it."""
        if array.dtype == numpy.float32:
            stored = numpy.clip(numpy.rint(array / self.quant.qp_scale + self.quant.qp_zp), 0, 255)
        else:
            stored = array.astype("float32")
        return (stored - self.quant.qp_zp) * self.quant.qp_scale

    def given(self, real, type_):
        """What the user gets of real values, in the asked type."""
        if self.packed:
            packed = numpy.arange(PACKED * numpy.dtype(DTYPES[self.native]).itemsize, dtype="uint8")
            return packed.view(DTYPES[self.native])
        if self.nms_shape:
            return boxes(self.nms_shape)
        size = int(numpy.prod(self.dims))
        real = numpy.resize(real.reshape(-1), size).reshape(self.dims)
        stored = numpy.clip(numpy.rint(real / self.quant.qp_scale + self.quant.qp_zp), 0, 255)
        if type_ is FormatType.FLOAT32:
            return ((stored - self.quant.qp_zp) * self.quant.qp_scale).astype("float32")
        return stored.astype(DTYPES[self.native if type_ is FormatType.AUTO else type_])


def boxes(nms):
    """By class: one box of class 0, none of the others."""
    flat = numpy.zeros(nms.number_of_classes * (1 + BBOX_PARAMS * nms.max_bboxes_per_class), "float32")
    flat[0], flat[1:6] = 1, [0.1, 0.2, 0.3, 0.4, 0.9]
    return flat


def as_array(nms, flat):
    """[classes, 5, boxes] of boxes by class (tf_format)."""
    found = numpy.zeros((nms.number_of_classes, BBOX_PARAMS, nms.max_bboxes_per_class), "float32")
    at = 0
    for index in range(nms.number_of_classes):
        count = int(flat[at])
        found[index, :, :count] = flat[at + 1 : at + 1 + count * BBOX_PARAMS].reshape(count, BBOX_PARAMS).T
        at += 1 + count * BBOX_PARAMS
    return found


class HEF:
    def __init__(self, hef_source):
        fail("HEF")
        self._told = json.loads(Path(hef_source + ".json").read_text(encoding="utf-8"))
        self._hef = self
        self.inputs = [Stream(one) for one in self._told["inputs"]]
        self.outputs = [Stream(one) for one in self._told["outputs"]]

    def get_network_group_names(self):
        return [self._told["group"]]

    def get_input_vstream_infos(self, name=None):
        return [one.info() for one in self.inputs]

    def get_output_vstream_infos(self, name=None):
        return [one.info() for one in self.outputs]

    def get_sorted_output_names(self, network_group_name=None):
        return self._told.get("sorted", [one.name for one in self.outputs])

    def infer(self, inputs, types):
        """Real network, by names."""
        reals = {one.name: one.real(inputs[one.name]) * self._told["gain"] for one in self.inputs}
        return {
            one.name: one.given(reals[self.inputs[index % len(self.inputs)].name], types[one.name])
            for index, one in enumerate(self.outputs)
        }


class VDeviceParams:
    __slots__ = ("device_count", "device_ids", "group_id", "multi_process_service", "scheduling_algorithm")

    def __init__(self):
        self.device_count = 1
        self.device_ids = []
        self.scheduling_algorithm = HailoSchedulingAlgorithm.ROUND_ROBIN
        self.group_id = "UNIQUE"
        self.multi_process_service = False


class InferModel:
    class InferStream:
        def __init__(self, infer_stream):
            self._stream = infer_stream
            self.type = FormatType.AUTO

        @property
        def name(self):
            return self._stream.name

        @property
        def shape(self):
            return self._stream.shape

        @property
        def format(self):
            type_ = self._stream.native if self.type is FormatType.AUTO else self.type
            return SimpleNamespace(type=type_, order=self._stream.order)

        def set_format_type(self, type):
            self.type = type

        def set_format_order(self, order):
            raise AssertionError("not used")

        @property
        def quant_infos(self):
            return [self._stream.quant]

        @property
        def is_nms(self):
            return self._stream.nms_shape is not None

    def __init__(self, infer_model, hef_path):
        self._hef = HEF(hef_path)
        self._vdevice = infer_model
        self._inputs = {one.name: self.InferStream(one) for one in self._hef.inputs}
        self._outputs = {one.name: self.InferStream(one) for one in self._hef.outputs}

    def set_batch_size(self, batch_size):
        self.batch_size = batch_size

    def set_power_mode(self, power_mode):
        assert isinstance(power_mode, HailoPowerMode)

    def configure(self):
        fail("configure")
        return ConfiguredInferModel(self._vdevice, self)

    @property
    def input_names(self):
        return list(self._inputs)

    @property
    def output_names(self):
        return list(self._outputs)

    @property
    def inputs(self):
        return list(self._inputs.values())

    @property
    def outputs(self):
        return list(self._outputs.values())

    def input(self, name=""):
        return self._inputs[name or self.input_names[0]]

    def output(self, name=""):
        return self._outputs[name or self.output_names[0]]


class ConfiguredInferModel:
    class Bindings:
        class InferStream:
            def __init__(self, infer_stream, nms_info=None):
                self._stream, self._nms_info, self._buffer = infer_stream, nms_info, None

            def set_buffer(self, buffer):
                if not buffer.flags.c_contiguous:
                    raise HailoRTException("Buffer must be C_CONTIGUOUS")
                wanted = self._stream.shape
                if list(buffer.shape) != list(wanted):
                    raise HailoRTException(f"buffer {buffer.shape} for {wanted}")
                self._buffer = buffer

            def get_buffer(self, tf_format=False):
                if tf_format is None or self._nms_info is None:
                    return self._buffer
                assert tf_format, "the list of classes is not asked for"
                return as_array(self._nms_info, self._buffer)

        def __init__(self, bindings, input_names, output_names, nms_infos):
            self._inputs = {one.name: self.InferStream(one) for one in bindings.inputs}
            self._outputs = {one.name: self.InferStream(one, nms_infos.get(one.name)) for one in bindings.outputs}

        def input(self, name=""):
            return self._inputs[name]

        def output(self, name=""):
            return self._outputs[name]

    def __init__(self, configured_infer_model, infer_model):
        self._vdevice, self._model, self._active = configured_infer_model, infer_model, False

    def activate(self):
        if self._vdevice.scheduled:
            raise HailoRTException("libhailort failed with error: 6 (HAILO_INVALID_OPERATION)")
        self._active = True

    def deactivate(self):
        assert self._active
        self._active = False

    def create_bindings(self, input_buffers=None, output_buffers=None):
        nms = {one.name: one.nms_shape for one in self._model._hef.outputs if one.nms_shape}
        made = self.Bindings(self._model._hef, self._model.input_names, self._model.output_names, nms)
        for name, buffer in (input_buffers or {}).items():
            made.input(name).set_buffer(buffer)
        for name, buffer in (output_buffers or {}).items():
            made.output(name).set_buffer(buffer)
        return made

    def wait_for_async_ready(self, timeout_ms=1000, frames_count=1):
        return None

    def run(self, bindings, timeout):
        fail("run")
        self.run_async(bindings).wait(timeout)

    def run_async(self, bindings, callback=None):
        if not (self._active or self._vdevice.scheduled):
            raise HailoRTException("libhailort failed with error: 69 (HAILO_NETWORK_GROUP_NOT_ACTIVATED)")
        types = {one.name: one.type for one in self._model.outputs}
        for one in bindings:
            inputs = {name: one.input(name).get_buffer() for name in self._model.input_names}
            for stream in self._model.inputs:
                assert inputs[stream.name].dtype == DTYPES[stream.type], "another type than was set"
            for name, array in self._model._hef.infer(inputs, types).items():
                one.output(name).get_buffer(None)[...] = array
        return AsyncInferJob(None)

    def shutdown(self):
        assert not self._active


class AsyncInferJob:
    def __init__(self, job):
        self._job = job

    def wait(self, timeout_ms):
        assert isinstance(timeout_ms, int)


class ConfigureParams:
    @staticmethod
    def create_from_hef(hef, interface):
        assert isinstance(interface, HailoStreamInterface)
        return {hef.get_network_group_names()[0]: SimpleNamespace(batch_size=0, power_mode=HailoPowerMode.PERFORMANCE)}


class ConfiguredNetwork:
    def __init__(self, configured_network):
        self._vdevice, self._hef = configured_network
        self.active = False

    @staticmethod
    def create_params():
        return "ActivateNetworkGroupParams"

    def activate(self, network_group_params=None):
        return ActivatedNetworkContextManager(self, network_group_params)


class ActivatedNetworkContextManager:
    def __init__(self, configured_network, activated_network):
        self._network = configured_network

    def __enter__(self):
        self._network.active = True
        return self

    def __exit__(self, *args):
        self._network.active = False


def _params(streams, format_type):
    return {one.name: SimpleNamespace(user_buffer_format=SimpleNamespace(type=format_type)) for one in streams}


class InputVStreamParams:
    @staticmethod
    def make(configured_network, quantized=None, format_type=None, timeout_ms=None, queue_size=None, network_name=None):
        return _params(configured_network._hef.inputs, format_type)


class OutputVStreamParams:
    @staticmethod
    def make(configured_network, quantized=None, format_type=None, timeout_ms=None, queue_size=None, network_name=None):
        return _params(configured_network._hef.outputs, format_type)


class InferVStreams:
    def __init__(self, configured_net_group, input_vstreams_params, output_vstreams_params, tf_nms_format=False):
        self._group, self._outputs = configured_net_group, output_vstreams_params
        self._tf = tf_nms_format

    def __enter__(self):
        return self

    def __exit__(self, *args):
        return False

    def infer(self, input_data):
        if not (self._group.active or self._group._vdevice.scheduled):
            raise HailoRTException("Network group is not activated")
        types = {name: one.user_buffer_format.type for name, one in self._outputs.items()}
        count = len(next(iter(input_data.values())))
        frames = [
            self._group._hef.infer({name: one[index] for name, one in input_data.items()}, types)
            for index in range(count)
        ]
        stacked = {name: numpy.stack([frame[name] for frame in frames]) for name in frames[0]}
        for one in self._group._hef.outputs:
            if one.nms_shape:
                assert self._tf
                stacked[one.name] = numpy.stack([as_array(one.nms_shape, flat) for flat in stacked[one.name]])
        return stacked

    def get_hw_time(self):
        return 0.001

    def get_total_time(self):
        return 0.002


class VDevice:
    def __init__(self, params=None, *, device_ids=None):
        fail("VDevice")
        self._params = params or VDevice.create_params()
        if device_ids:  # then no other parameter counts
            self._params = VDevice.create_params()
            self._params.scheduling_algorithm = HailoSchedulingAlgorithm.NONE
        wanted = device_ids or self._params.device_ids or Device.scan()
        free = [name for name in wanted if not modules[name].in_use]
        if not free:
            raise HailoRTException("libhailort failed with error: 74 (HAILO_OUT_OF_PHYSICAL_DEVICES)")
        self._module = modules[free[0]]
        self._module.in_use = True

    @property
    def scheduled(self):
        return self._params.scheduling_algorithm is HailoSchedulingAlgorithm.ROUND_ROBIN

    @staticmethod
    def create_params():
        return VDeviceParams()

    def release(self):
        self._module.in_use = False

    def configure(self, hef, configure_params_by_name={}):  # noqa: B006, as it is there
        fail("configure")
        return [ConfiguredNetwork((self, hef))]

    def create_infer_model(self, hef_source, name=""):
        return InferModel(self, hef_source)

"""The two ways in which HailoRT's Python package runs a network, behind one face."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Type

import numpy

from . import Refused

TIMEOUT_MS = 10_000
Array = Any


class Runner:
    """A network on the device. Frames are [frames, *shape], an array an input."""

    def __init__(self, hailort: Any, wishes: Any, takes: List[Any], gives: List[Any]) -> None:
        self.takes, self.gives, self.scheduled = takes, gives, wishes.scheduler == "on"
        self.vdevice = vdevice(hailort, wishes)
        try:
            self.load(hailort, wishes)
        except BaseException:
            self.vdevice.release()  # else the device stays in use until the collector comes by
            raise

    def load(self, hailort: Any, wishes: Any) -> None:
        raise NotImplementedError

    def bind(self, frames: List[Array]) -> Callable[[], Any]:
        """The call that runs one inference of all frames."""
        raise NotImplementedError

    def read(self) -> List[Array]:
        """The outputs of the last inference as they are, [frames, ...] each."""
        raise NotImplementedError

    def unload(self) -> None:
        """Take the network off the device."""

    def close(self) -> None:
        try:
            self.unload()
        finally:
            self.vdevice.release()


class Async(Runner):
    """``InferModel``: buffers are bound once, ``run`` waits for the job."""

    def load(self, hailort: Any, wishes: Any) -> None:
        model = self.vdevice.create_infer_model(wishes.path)
        model.set_batch_size(wishes.batch)
        model.set_power_mode(getattr(hailort.HailoPowerMode, wishes.power_mode.upper()))
        for take in self.takes:
            model.input(take.name).set_format_type(format_type(hailort, take.dtype))
        for give in self.gives:
            if not give.raw:
                model.output(give.name).set_format_type(format_type(hailort, give.dtype))
        self.model: Any = model
        self.configured: Any = model.configure()
        if not self.scheduled:
            self.configured.activate()
        self.bound: List[Any] = []

    def bind(self, frames: List[Array]) -> Callable[[], Any]:
        self.held = frames  # HailoRT keeps pointers
        self.bound = [self._binding([array[index] for array in frames]) for index in range(len(frames[0]))]
        return _run(self.configured.run, self.bound)

    def _binding(self, frame: List[Array]) -> Any:
        inputs = {take.name: array for take, array in zip(self.takes, frame)}
        outputs = {give.name: _room(self.model.output(give.name), give) for give in self.gives}
        return self.configured.create_bindings(inputs, outputs)

    def read(self) -> List[Array]:
        return [numpy.stack([_output(binding, give) for binding in self.bound]) for give in self.gives]

    def unload(self) -> None:
        configured, self.bound = self.configured, []
        self.configured = self.model = None  # they keep the device
        if not self.scheduled:
            configured.deactivate()
        configured.shutdown()


class VStreams(Runner):
    """``InferVStreams``: the blocking pipeline of virtual streams."""

    def load(self, hailort: Any, wishes: Any) -> None:
        if any(give.raw for give in self.gives):
            raise Refused("HailoRT gives these boxes as objects here, not as an array", "leave out api=vstreams")
        hef = hailort.HEF(wishes.path)
        params = hailort.ConfigureParams.create_from_hef(hef, hailort.HailoStreamInterface.PCIe)
        for one in params.values():
            one.batch_size = wishes.batch
            one.power_mode = getattr(hailort.HailoPowerMode, wishes.power_mode.upper())
        self.group = self.vdevice.configure(hef, params)[0]
        inputs = _params(hailort.InputVStreamParams, self.group, hailort, self.takes)
        outputs = _params(hailort.OutputVStreamParams, self.group, hailort, self.gives)
        self.pipeline = hailort.InferVStreams(self.group, inputs, outputs, tf_nms_format=True)
        self.pipeline.__enter__()
        self.active = None if self.scheduled else self.group.activate(self.group.create_params())
        if self.active is not None:
            self.active.__enter__()
        self.last: List[Dict[str, Array]] = [{}]

    def bind(self, frames: List[Array]) -> Callable[[], Any]:
        given = {take.name: array for take, array in zip(self.takes, frames)}
        return _infer(self.pipeline.infer, given, self.last)

    def read(self) -> List[Array]:
        return [numpy.asarray(self.last[0][give.name]) for give in self.gives]

    def unload(self) -> None:
        if self.active is not None:
            self.active.__exit__(None, None, None)
        self.pipeline.__exit__(None, None, None)


RUNNERS: Dict[str, Type[Runner]] = {"async": Async, "vstreams": VStreams}


def vdevice(hailort: Any, wishes: Any) -> Any:
    """The device, which no other process can have meanwhile.

    Its ids are given as a parameter: with ``device_ids=`` HailoRT leaves all parameters out (``vdevice_api.hpp``).
    """
    params = hailort.VDevice.create_params()
    if wishes.devices:
        params.device_ids = wishes.devices
    algorithm = hailort.HailoSchedulingAlgorithm
    params.scheduling_algorithm = algorithm.ROUND_ROBIN if wishes.scheduler == "on" else algorithm.NONE
    return hailort.VDevice(params)


def format_type(hailort: Any, dtype: str) -> Any:
    """``FormatType.FLOAT32`` for ``float32``."""
    return getattr(hailort.FormatType, dtype.upper())


def _params(kind: Any, group: Any, hailort: Any, streams: List[Any]) -> Dict[str, Any]:
    """Parameters by stream, each of its own type: HailoRT makes them for all streams of one type."""
    made = {
        dtype: kind.make(group, format_type=format_type(hailort, dtype)) for dtype in {one.dtype for one in streams}
    }
    return {one.name: made[one.dtype][one.name] for one in streams}


def _room(stream: Any, give: Any) -> Array:
    """For one output of one frame; of packed boxes HailoRT tells the count of values of the stream's type."""
    dtype = str(stream.format.type).rpartition(".")[2].lower() if give.raw else give.dtype
    return numpy.zeros(stream.shape, dtype)


def _output(binding: Any, give: Any) -> Array:
    found = numpy.array(binding.output(give.name).get_buffer(tf_format=True if give.nms else None))
    return found.reshape(-1).view("uint8") if give.raw else found


def _run(run: Callable[..., Any], bindings: List[Any]) -> Callable[[], Any]:
    return lambda: run(bindings, TIMEOUT_MS)


def _infer(infer: Callable[..., Any], given: Dict[str, Array], last: List[Dict[str, Array]]) -> Callable[[], Any]:
    def call() -> None:
        last[0] = infer(given)

    return call

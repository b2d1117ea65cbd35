"""TensorRT on a GPU (``tensorrt:gpu``) and on a Jetson's DLA (``tensorrt:dla0``, ``dla1``).

An engine is built from ONNX once (``tensorrt_build.py``), or given as a file (``.engine``, ``.plan``). Python API of
8.4 to 11.x: names and signatures as in NVIDIA's wheels 8.6.1, 10.3.0 and 11.4.0.

Lowest-overhead call: inputs and outputs in pinned host memory; on one stream the copies to the device, one
``execute_async_v3`` (``v2`` up to 8.4) and the copies back; then the stream is waited for. ``cuda_graph=on`` captures
all of it and launches it as one (https://docs.nvidia.com/deeplearning/tensorrt, "CUDA Graphs"). Transfers are inside
the latency; how long they take, and computing alone, is told by events on the device's clock (``parts``).
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import parts as timing
from .. import wire
from . import Arrays, FellBack, Refused, Session, WhyNot, cudart, not_installed, tensorrt_io, tensorrt_layers
from .tensorrt_engine import Said, Unit, check_core, engine_in, notes_of, path_of, plugins

FORMATS = ("onnx", "engine")
BUILDS = ("onnx",)
RUN_OPTIONS = ("cuda_graph",)
RARE = True
OPTIONS = {
    "engine": "precision that the builder may use: fp32, fp16 or int8 (default: the model's types)",
    "fallback": "on or off: the GPU runs what a DLA can't (default: on)",
    "cuda_graph": "on or off: copies and inference captured once, launched as one (default: off)",
    "calibration": "a calibration cache of TensorRT, for engine=int8 on a model without quantise operators",
    "timing_cache": "a file with the builder's timings: read where it is there, written afterwards (default: none)",
    "workspace": "memory that the builder may use, in MiB (default: TensorRT's own, all of the GPU's)",
    "level": "builder optimisation level, 0 to 5 (default: TensorRT's own, 3)",
}
BUILDING = ("engine", "calibration", "timing_cache", "workspace", "level")
"""Options that an engine which is given has behind it."""
JETPACK = "/etc/nv_tegra_release"
BY = "CUDA events, on the device's clock, in runs of their own"
CROSSED = "different models of devices"


def why_not() -> Optional[WhyNot]:
    missing = not_installed("tensorrt", "tensorrt")
    if missing is not None and os.path.exists(JETPACK):
        return WhyNot(missing.reason, "name JetPack's interpreter in the target: tensorrt:gpu,python=/usr/bin/python3")
    if missing is not None:
        return missing
    found = cudart.find()
    if found.cuda is not None:
        return None
    return WhyNot(
        found.why_not, "see what nvidia-smi says" if found.library else "pip install nvidia-cuda-runtime-cu12"
    )


def versions() -> Dict[str, str]:
    """``gpu`` is among them: an engine built for another GPU is another engine."""
    import tensorrt

    cuda = cuda_here()
    return {"tensorrt": tensorrt.__version__, "cuda": cuda.version(), "gpu": cuda.gpu()}


def offers() -> List[wire.Offer]:
    import tensorrt

    count = cuda_here().devices()
    cores = int(tensorrt.Runtime(Said(tensorrt).logger).num_DLA_cores)
    gpus = [wire.Offer("gpu%d" % index if index else "gpu") for index in range(count)]
    note = "fp16: a DLA has no fp32"
    return gpus + [wire.Offer("dla%d" % core, precision="default", note=note) for core in range(cores)]


def build(job: wire.Open, folder: str) -> Dict[str, str]:
    from . import tensorrt_build

    check(job)
    cuda_here().call("cudaSetDevice", Unit(job.device).gpu)
    return tensorrt_build.build(job, folder)


def open(job: wire.Open) -> "TensorRt":
    check(job)
    of_builder = [name for name in BUILDING if name in job.options]
    if job.built is None and of_builder:
        raise Refused("%s= is for building, and this engine is built already" % of_builder[0], "leave it out")
    return TensorRt(job, cuda_here())


class TensorRt(Session):
    def __init__(self, job: wire.Open, cuda: cudart.Cuda) -> None:
        import tensorrt as trt

        self.job, self.cuda, self.unit = job, cuda, Unit(job.device)
        cuda.call("cudaSetDevice", self.unit.gpu)
        self.said = Said(trt)
        plugins(trt, self.said)
        self.runtime = trt.Runtime(self.said.logger)
        if self.unit.dla is not None:
            check_core(self.unit.dla, int(self.runtime.num_DLA_cores))
            self.runtime.DLA_core = self.unit.dla
        self.notes = notes_of(job)
        self.engine = engine_in(self.runtime, path_of(job), self.said, trt.__version__)
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise Refused("TensorRT can't make an execution context: %s" % self.said.why())
        self.context.nvtx_verbosity = trt.ProfilingVerbosity.NONE  # else each inference pays for names of layers
        self.stream = cuda.stream()
        self.graph: Optional[cudart.Graph] = None
        self.tensors = tensorrt_io.tensors_of(trt, self.engine, self.context)
        self._lay_out(job)
        self.inspect = functools.partial(_inspected, trt, self.engine, self.context)
        self.effective = self._effective()

    def _lay_out(self, job: wire.Open) -> None:
        """Shapes, specs and memory of all inputs and outputs. Raises :class:`Refused` for what can't be fed."""
        tensors, names = self.tensors, [name for name in self.tensors.names if self.tensors.is_input(name)]
        given = job.inputs or []
        order = [spec.name for spec in given] if {spec.name for spec in given} == set(names) else names
        for name, spec in zip(order, given):
            if tensors.shape(name) != list(spec.shape) and not tensors.set_shape(name, spec.shape):
                raise Refused(
                    "the engine does not take the shape %s at %r: %s" % (spec.shape, name, self.said.why()),
                    "give --shape a size that it was built for",
                )
        self.inputs = [wire.TensorSpec(name, tensors.dtype(name), tensors.shape(name)) for name in order]
        outputs = [name for name in tensors.names if name not in names]
        self.outputs = [wire.TensorSpec(name, tensors.dtype(name), tensors.shape(name)) for name in outputs]
        for spec in self.inputs + self.outputs:
            self._check(spec)
        self.buffers = {
            spec.name: cudart.Buffer(self.cuda, spec.dtype, spec.shape, tensors.on_host(spec.name))
            for spec in self.inputs + self.outputs
        }
        stream = self.stream
        self.copies_in = _copies([self.buffers[name] for name in order], "to_device", stream)
        self.copies_out = _copies([self.buffers[name] for name in outputs], "to_host", stream)
        addresses = {name: int(buffer.device.value) for name, buffer in self.buffers.items()}
        self.enqueue = tensors.enqueue(addresses, int(stream.value))

    def _check(self, spec: wire.TensorSpec) -> None:
        if min(spec.shape, default=0) < 0:
            raise Refused(
                "the size of %r is only known after an inference, or the engine has a dynamic shape" % spec.name,
                "give --shape for a dynamic input; WhichPU does not run outputs that depend on the data on TensorRT",
            )
        layout = self.tensors.format(spec.name)
        if layout != "LINEAR":
            raise Refused(
                "the engine wants %r in the format %s, which WhichPU does not lay out" % (spec.name, layout),
                "build it with linear inputs and outputs, or give the ONNX file",
            )

    def _effective(self) -> Dict[str, str]:
        engine = self.engine
        memory = getattr(engine, "device_memory_size_v2", None)  # since 10.1
        found = {
            "interface": self.tensors.interface,
            "layers": str(engine.num_layers),
            "device_memory_bytes": str(engine.device_memory_size if memory is None else memory),
            "cuda_graph": self.job.options.get("cuda_graph", "off"),
            "host_memory": "pinned",
            "gpu": self.cuda.gpu(self.unit.gpu),
        }
        if self.unit.dla is not None:
            found.update(dla_core=str(self.runtime.DLA_core), fallback=self.job.options.get("fallback", "on"))
        if any(CROSSED in line for line in self.said.warnings):
            found["built_for"] = "another model of GPU, TensorRT warns: slower, or wrong"
        return dict(found, **self.notes.get("effective", {}))

    @functools.cached_property
    def layers(self) -> List[Dict[str, Any]]:
        return self.inspect()

    @functools.cached_property
    def precision(self) -> wire.Precision:  # type: ignore[override]
        """Looked for when first asked, so that it is no part of the load time."""
        tf32 = self.notes.get("tf32", self.job.built is None)  # an engine that is given: TensorRT's default
        return tensorrt_layers.precision_of(self.layers, tf32, self.notes.get("asked", "as its builder chose"))

    @functools.cached_property
    def placement(self) -> wire.Placement:  # type: ignore[override]
        """By the builder's own account where it was built for a DLA, else by the inspector."""
        told = self.notes.get("placement")
        if told is not None:
            return wire.Placement(**dict(told, elsewhere=[wire.Elsewhere(**one) for one in told["elsewhere"]]))
        found = tensorrt_layers.placement_of(self.layers, "gpu" if self.unit.dla is None else self.job.device)
        if self.unit.dla is not None and found.unknown is None and not found.units.get(self.job.device):
            raise FellBack(
                "nothing of this engine runs on a DLA: all its layers are on the GPU", "measure it as tensorrt:gpu"
            )
        return found

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        for spec, array in zip(self.inputs, arrays):
            _same_shape(spec, array)
            numpy.copyto(self.buffers[spec.name].array, array, casting="no")
        if self.job.options.get("cuda_graph") != "on":
            return self._waited(self._work())
        return self._first if self.graph is None else self._replay(self.graph)

    def steady(self, call: Callable[[], Any]) -> Callable[[], Any]:
        return call if self.graph is None else self._replay(self.graph)

    def _first(self) -> None:
        """The first inference, and a graph of it; on fixed buffers it holds for all inputs after it."""
        self._waited(self._work())()  # TensorRT defers work to the first inference, and a capture would miss it
        try:
            self.graph = cudart.Graph(self.cuda, self.stream, self._work())
        except Refused as problem:
            raise Refused(
                "this engine can't be captured in a CUDA graph: %s" % problem, "use cuda_graph=off"
            ) from problem

    def _replay(self, graph: cudart.Graph) -> Callable[[], None]:
        return self._waited(self._launched(graph.launch))

    def _work(self) -> Callable[[], None]:
        """Copies, inference, copies: put on the stream, not waited for."""
        copies_in, enqueue, copies_out, check = self.copies_in, self.enqueue, self.copies_out, self.cuda.check
        said = self.said

        def work() -> None:
            for copy in copies_in:
                status = copy()
                if status:
                    check(status, "cudaMemcpyAsync")
            if not enqueue():
                raise Refused("TensorRT can't run the inference: %s" % said.why())
            for copy in copies_out:
                status = copy()
                if status:
                    check(status, "cudaMemcpyAsync")

        return work

    def _launched(self, launch: Callable[[], int]) -> Callable[[], None]:
        check = self.cuda.check

        def launched() -> None:
            status = launch()
            if status:
                check(status, "cudaGraphLaunch")

        return launched

    def _waited(self, work: Callable[[], None]) -> Callable[[], None]:
        check = self.cuda.check
        wait = functools.partial(self.cuda.library.cudaStreamSynchronize, self.stream)

        def run() -> None:
            work()
            status = wait()
            if status:
                check(status, "cudaStreamSynchronize")

        return run

    def read(self) -> Arrays:
        return [self.buffers[spec.name].array.copy() for spec in self.outputs]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        """Events between the copies and the inference, each put on the stream by itself (no CUDA graph)."""
        for spec, array in zip(self.inputs, arrays):
            numpy.copyto(self.buffers[spec.name].array, array, casting="no")
        marks = cudart.Marks(self.cuda, self.stream, 4)
        steps = [self.copies_in, [lambda: 0 if self.enqueue() else -1], self.copies_out]
        found: Dict[str, List[int]] = {"end_to_end": [], "h2d": [], "compute": [], "d2h": []}
        for turn in range(timing.WARM + request.count):
            took_ns = self._marked(steps, marks)
            if turn >= timing.WARM:
                for name, value in zip(("end_to_end", "h2d", "compute", "d2h"), took_ns):
                    found[name].append(value)
        marks.close()
        return wire.Parted(found, request.count, BY, coarse_ns=cudart.EVENTS_NS)

    def _marked(self, steps: List[List[Callable[[], int]]], marks: cudart.Marks) -> List[int]:
        began = time.perf_counter_ns()
        marks.mark(0)
        for index, step in enumerate(steps):
            for one in step:
                if one():
                    raise Refused("an inference with events failed: %s" % self.said.why())
            marks.mark(index + 1)
        self.cuda.call("cudaStreamSynchronize", self.stream)
        return [time.perf_counter_ns() - began] + marks.between_ns()

    def close(self) -> None:
        if self.graph is not None:
            self.graph.close()
            self.graph = None
        self.enqueue = self.tensors = self.inspect = self.context = self.engine = self.runtime = None  # type: ignore
        for buffer in self.buffers.values():
            del buffer.array  # it lies in that memory
            buffer.close()
        self.buffers = {}
        self.cuda.call("cudaStreamDestroy", self.stream)


def cuda_here() -> cudart.Cuda:
    """Raises :class:`Refused` where no GPU answers."""
    found = cudart.find()
    if found.cuda is None:
        raise Refused(found.why_not)
    return found.cuda


def check(job: wire.Open) -> None:
    """Options that are one of a few words. Raises :class:`Refused`."""
    for name, values in (
        ("engine", ("fp32", "fp16", "int8")),
        ("fallback", ("on", "off")),
        ("cuda_graph", ("on", "off")),
    ):
        value = job.options.get(name)
        if value is not None and value not in values:
            raise Refused("%s=%s is not known" % (name, value), "use one of: %s" % ", ".join(values))
    for name, most in (("level", 5), ("workspace", 1 << 24)):
        value = job.options.get(name, "0")
        if not value.isdigit() or int(value) > most:
            raise Refused("%s=%s is not a whole number" % (name, value), "use one from 0 to %d" % most)
    if "calibration" in job.options and job.options.get("engine") != "int8":
        raise Refused("calibration= holds scales for int8, which is not asked for", "add engine=int8")
    if "fallback" in job.options and not job.device.startswith("dla"):
        raise Refused("fallback= is for a DLA, and %s is asked for" % job.device, "leave it out, or name dla0")


def _inspected(trt: Any, engine: Any, context: Any) -> List[Dict[str, Any]]:
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context  # it holds the shapes; without them types of dynamic tensors are not told
    return tensorrt_layers.layers_of(inspector.get_engine_information(format=trt.LayerInformationFormat.JSON))


def _copies(buffers: List[cudart.Buffer], way: str, stream: Any) -> List[Callable[[], int]]:
    return [getattr(buffer, way)(stream) for buffer in buffers if not buffer.on_host]


def _same_shape(spec: wire.TensorSpec, array: "numpy.ndarray[Any, Any]") -> None:
    if list(array.shape) != list(spec.shape) or array.dtype.name != spec.dtype:
        raise Refused(
            "the engine takes %r as %s %s, the data has %s %s"
            % (spec.name, spec.dtype, spec.shape, array.dtype.name, list(array.shape))
        )

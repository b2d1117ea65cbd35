"""OpenCV's own inference, ``cv2.dnn``. OpenCV 5 has two engines of its own, OpenCV 4 has one.

Lowest-overhead call: ``setInput`` once (it copies), then ``forward`` with the outputs' names; repeated
``forward`` recomputes everything (checked, 4.14 and 5.0). Beyond the CPU ``setInput`` is part of the call: it is what
makes ``forward`` move the input to the device again. Devices are in ``opencv_targets``, and how it is found out which
layers run on them in ``opencv_placement``. TFLite is left out: OpenCV's importer turns
NHWC tensors into NCHW, so the model's inputs and outputs would not be what the file says.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Dict, List, Optional

import numpy

from .. import parts, wire
from . import Arrays, Refused, Session, WhyNot, not_installed, onnxbytes, opencv_placement, opencv_targets

FORMATS = ("onnx",)
OPTIONS = {"engine": "OpenCV 5 only: classic, new, ort or auto (default: auto, which tries new, then classic)"}
ENGINES = {"auto": "ENGINE_AUTO", "classic": "ENGINE_CLASSIC", "new": "ENGINE_NEW", "ort": "ENGINE_ORT"}
NOTES = {
    "auto": "OpenCV 5's own choice: the new engine if it can read the model, else the classic one",
    "classic": "OpenCV 4's engine, kept in OpenCV 5",
    "new": "OpenCV 5's new engine alone",
    "ort": "ONNX Runtime inside OpenCV 5",
}
MOVES = ("Reshape", "Flatten", "Permute", "Split", "Slice", "Concat", "Padding", "Identity", "Crop", "Blank")


def why_not() -> Optional[WhyNot]:
    return not_installed("cv2", "opencv-python-headless")


def versions() -> Dict[str, str]:
    return {"opencv": str(_cv2().__version__)}


def offers() -> List[wire.Offer]:
    beyond = opencv_targets.offered(_cv2())
    if not _has_engines():
        return [wire.Offer("cpu"), *beyond]
    found = [wire.Offer("cpu", note=NOTES["auto"])]
    found += [wire.Offer("cpu", options={"engine": name}, note=NOTES[name]) for name in ("classic", "new")]
    if _has_ort():
        found.append(wire.Offer("cpu", options={"engine": "ort"}, note=NOTES["ort"]))
    return found + beyond


def open(job: wire.Open) -> "OpenCv":
    cv2 = _cv2()
    opencv_targets.refuse_unless_here(cv2, job)
    if not job.inputs:
        raise Refused(
            "OpenCV can't tell a model's inputs, and the job doesn't name them",
            "give the inputs' names, types and shapes with the job",
        )
    opencv_targets.forbid_tf32(job)
    cv2.setNumThreads(job.threads)
    return OpenCv(_read_net(job.model, job.options.get("engine")), job)


class OpenCv(Session):
    def __init__(self, net: Any, job: wire.Open) -> None:
        self.net, self.job = net, job
        self.placed: Optional[wire.Placement] = None
        opencv_targets.set_up(_cv2(), net, job.device)
        self.inputs = list(job.inputs or [])
        # OpenCV 4 and the classic engine list outputs by the alphabet; the model's own order is in its file.
        self.outputs = onnxbytes.outputs(job.model)
        self.names = [spec.name for spec in self.outputs]
        missing = sorted(set(self.names) - set(net.getUnconnectedOutLayersNames()))
        if missing:
            raise Refused("OpenCV does not give the model's outputs %s" % ", ".join(missing))
        self.effective = _effective(net, job)
        self.precision = precision_of(net) if job.device == "cpu" else opencv_targets.precision_of(job)
        self.results: Any = []

    @property
    def placement(self) -> Optional[wire.Placement]:  # type: ignore[override]
        """Raises :class:`FellBack` where OpenCV would run all of it on the CPU."""
        if self.placed is None and self.job.device != "cpu":
            self.placed = opencv_placement.look(self.job)
        return self.placed

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        pairs = [(_blob(array), spec.name) for spec, array in zip(self.inputs, arrays)]
        for blob, name in pairs:
            self.net.setInput(blob, name)
        forward, names, give = self.net.forward, self.names, self.net.setInput

        def run() -> None:
            self.results = forward(names)

        def move_and_run() -> None:
            for blob, name in pairs:
                give(blob, name)
            self.results = forward(names)

        return run if self.job.device == "cpu" else move_and_run

    def read(self) -> Arrays:
        return [_as_declared(numpy.array(array), spec.shape) for spec, array in zip(self.outputs, self.results)]

    def parts(self, arrays: Arrays, request: wire.Parts) -> Optional[wire.Parted]:
        """OpenCV times its layers always; ``getPerfProfile`` tells the last inference's sum."""
        if self.job.device != "cpu":
            raise Refused(opencv_targets.CLOCK_OF_LAUNCH)
        call, tick_ns = self.bind(arrays), 1e9 / _cv2().getTickFrequency()
        latencies: List[int] = []
        compute: List[int] = []
        for _ in range(parts.WARM + request.count):
            latencies += parts.end_to_end(call, 1)
            compute.append(round(self.net.getPerfProfile()[0] * tick_ns))
        if not all(compute):
            raise Refused("this engine of OpenCV times no layers")
        return parts.in_place(latencies[parts.WARM :], compute[parts.WARM :], "OpenCV's own times of its layers")

    def close(self) -> None:
        self.net = None
        self.results = []


def precision_of(net: Any) -> wire.Precision:
    """Int8 kernels carry it in their layer type; on DNN_TARGET_CPU all others compute in fp32."""
    counts = {kind: int(net.getLayersCount(kind)) for kind in net.getLayerTypes()}
    int8 = sum(count for kind, count in counts.items() if kind.endswith("Int8") and not kind.startswith(MOVES))
    if int8:
        return wire.Precision("int8", "layer types: %d of %d layers have int8 kernels" % (int8, sum(counts.values())))
    return wire.Precision(
        "fp32", "target DNN_TARGET_CPU, and none of %d layers has an int8 kernel" % sum(counts.values())
    )


def _read_net(path: str, engine: Optional[str]) -> Any:
    cv2 = _cv2()
    if engine is None:
        return _loaded(cv2.dnn.readNetFromONNX(path), engine)
    if engine not in ENGINES:
        raise Refused("engine=%s is not an engine; there are: %s" % (engine, ", ".join(sorted(ENGINES))))
    if not _has_engines():
        raise Refused(
            "engine=%s needs OpenCV 5; this is OpenCV %s, which has one engine" % (engine, cv2.__version__),
            "leave the option away, or install opencv-python-headless 5 in an environment of its own",
        )
    if engine == "ort" and not _has_ort():  # OpenCV would only log a warning and run engine=auto
        raise Refused(
            "this OpenCV %s was built without ONNX Runtime" % cv2.__version__,
            "measure ONNX Runtime itself with onnxruntime:cpu",
        )
    return _loaded(cv2.dnn.readNetFromONNX(path, getattr(cv2.dnn, ENGINES[engine])), engine)


def _loaded(net: Any, engine: Optional[str]) -> Any:
    """The net, unless it is empty: OpenCV 5's new engine only logs that it can't read a model."""
    if net.empty():
        raise Refused(
            "OpenCV's %s engine could not read the model and left it empty" % (engine or "own"),
            "engine=classic may read it" if engine == "new" else None,
        )
    return net


def _effective(net: Any, job: wire.Open) -> Dict[str, str]:
    cv2 = _cv2()
    found = {"threads": str(cv2.getNumThreads()), **opencv_targets.facts(cv2, job.device)}
    if _has_engines():
        # Only the classic engine has an input layer; auto may have fallen back to it without a word.
        classic = "__NetInputLayer__" in net.getLayerTypes()
        found["engine"] = "ort" if job.options.get("engine") == "ort" else "classic" if classic else "new"
        found["engine_asked"] = job.options.get("engine", "auto")
    return found


def _cv2() -> Any:
    """The module, untyped: its stubs differ between OpenCV 4 and 5."""
    return importlib.import_module("cv2")


def _has_engines() -> bool:
    return hasattr(_cv2().dnn, "ENGINE_AUTO")


def _has_ort() -> bool:
    rows = [row.split(":", 1) for row in _cv2().getBuildInformation().splitlines() if "ONNX Runtime:" in row]
    return any(not row[1].strip().startswith("NO") for row in rows)


def _blob(array: "numpy.ndarray[Any, Any]") -> Any:
    """The array as OpenCV must see it: without the wrapper a 3-D array of few columns is an image with channels."""
    cv2 = _cv2()
    array = numpy.ascontiguousarray(array)  # a scalar gets a dimension: OpenCV 5's classic engine takes none without
    return cv2.Mat(array) if array.ndim > 2 and hasattr(cv2, "Mat") else array


def _as_declared(array: "numpy.ndarray[Any, Any]", shape: List[int]) -> "numpy.ndarray[Any, Any]":
    """Undo that a matrix of OpenCV 4 has at least two dimensions; a shape that is simply wrong stays to be seen."""
    if array.ndim == len(shape) or shape.count(-1) > 1:
        return array
    try:
        return array.reshape(shape)
    except ValueError:
        return array

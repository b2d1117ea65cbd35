"""ONNX Runtime on CUDA: inputs in buffers of the GPU that are allocated once, outputs that end in host memory.

``OrtValue.update_inplace`` copies an array into a buffer and waits for it; binding an array anew, as for other devices,
would allocate one each time. Without a CUDA graph, outputs are bound to host memory: ``Run`` itself copies them, on its
stream. A captured graph (``enable_cuda_graph``, docs/execution-providers/CUDA: inputs and outputs of fixed shape, on
the GPU, at fixed addresses) writes to buffers of the GPU; ``copy_tensors`` (1.23) or ``OrtValue.numpy`` fetches them.
"""

from __future__ import annotations

from typing import Any, Callable, List, NamedTuple, Tuple

import numpy

from .. import wire
from . import Arrays, Refused

DEVICE = "cuda"  # OrtDevice's name for it


class Stages(NamedTuple):
    """The calls of an inference; each ends when its work is done."""

    fill: Callable[[], Any]
    run: Callable[[], Any]
    fetch: Callable[[], Any]


class Buffers:
    """A session's inputs and outputs. ``on_device``: outputs stay on the GPU until they are fetched."""

    def __init__(
        self, session: Any, inputs: List[wire.TensorSpec], outputs: List[wire.TensorSpec], number: int, on_device: bool
    ) -> None:
        self.session, self.inputs, self.outputs, self.number = session, inputs, outputs, number
        self.on_device = on_device
        self.binding: Any = None
        self.shapes: List[Tuple[int, ...]] = []
        self.values: List[Any] = []
        self.results: List[Any] = []
        self.arrays: Arrays = []

    def bind(self, arrays: Arrays) -> Callable[[], Any]:
        """The call of an inference on ``arrays``. Buffers stay where they are: a captured graph knows their place."""
        self.arrays = [numpy.array(array, order="C") for array in arrays]
        shapes = [array.shape for array in self.arrays]
        if self.binding is None or shapes != self.shapes:
            if self.binding is not None and self.on_device:
                raise Refused("a captured CUDA graph holds for one shape of inputs", "use cuda_graph=off")
            self._allocate()
            self.shapes = shapes
        fill, run, fetch = self.stages()
        if not self.on_device:
            return _both(self._fills(), run)
        return lambda: (fill(), run(), fetch())

    def stages(self) -> Stages:
        """Copying in, running, and copying out of what is bound."""
        fills = self._fills()
        return Stages(lambda: [fill(array) for fill, array in fills], self._run(), self._fetch())

    def run_afresh(self) -> None:
        """One inference with outputs allocated anew, for a model whose declared shapes are wrong."""
        if self.on_device:
            raise Refused(
                "a CUDA graph needs outputs of the declared shape, and the model's differ", "use cuda_graph=off"
            )
        for spec in self.outputs:
            self.binding.bind_output(spec.name, "cpu")
        _both(self._fills(), self._run())()

    def read(self) -> Arrays:
        return [numpy.array(value.numpy()) for value in self.binding.get_outputs()]

    def _allocate(self) -> None:
        from onnxruntime import OrtValue

        self.binding = self.session.io_binding()
        self.values = [OrtValue.ortvalue_from_numpy(array, DEVICE, self.number) for array in self.arrays]
        for spec, value in zip(self.inputs, self.values):
            self.binding.bind_ortvalue_input(spec.name, value)
        self.results = []
        for spec in self.outputs:
            if not self.on_device:
                self.binding.bind_output(spec.name, "cpu")
                continue
            if any(size < 0 for size in spec.shape):
                words = "outputs stay on the GPU only where their shape is fixed, and that of %r is not" % spec.name
                raise Refused(words, "use cuda_graph=off")
            self.results.append(OrtValue.ortvalue_from_shape_and_type(spec.shape, spec.dtype, DEVICE, self.number))
            self.binding.bind_ortvalue_output(spec.name, self.results[-1])

    def _fills(self) -> "List[Tuple[Callable[[Any], Any], Any]]":
        values = [getattr(value, "_ortvalue", value) for value in self.values]  # one Python frame less
        return [(value.update_inplace, array) for value, array in zip(values, self.arrays)]

    def _run(self) -> Callable[[], Any]:
        raw, binding = getattr(self.session, "_sess", None), getattr(self.binding, "_iobinding", None)
        if raw is None or binding is None:
            return lambda: self.session.run_with_iobinding(self.binding)
        return lambda: raw.run_with_iobinding(binding, None)

    def _fetch(self) -> Callable[[], Any]:
        """Outputs to host memory: into buffers of ours where this version can, else into new arrays."""
        import onnxruntime

        results = self.results
        try:
            into = [onnxruntime.OrtValue.ortvalue_from_numpy(numpy.empty(value.shape(), spec.dtype))
                    for value, spec in zip(results, self.outputs)]  # fmt: skip
            onnxruntime.copy_tensors(results, into)
            return lambda: onnxruntime.copy_tensors(results, into)
        except Exception:  # older than 1.23, or a build without copies for this device
            return lambda: [value.numpy() for value in results]


def _both(fills: "List[Tuple[Callable[[Any], Any], Any]]", run: Callable[[], Any]) -> Callable[[], Any]:
    def call() -> None:
        for fill, array in fills:
            fill(array)
        run()

    return call

"""One side of a bisection: a graph, what runs it, and what it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from whichpu.campaign.outputs import outputs_of
from whichpu.errors import UserError
from whichpu.models import taps
from whichpu.models.inputs import save
from whichpu.models.taps import Graph, Piece
from whichpu.targets import local
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.target import Target, refuse_boards
from whichpu.worker import wire

Array = npt.NDArray[Any]
Samples = list[Array] | Array
"""One tensor for all samples, ``[samples, *shape]``, or a list where shapes vary."""
FILE_MOST = 1_800_000_000
"""Bytes of a model that fits one protobuf file (2 GiB) with some room."""

RUNS = "name another target with --on, or give inputs that the model takes with --data FILE"


class Runs(Protocol):
    """Runs models."""

    def run(self, model: Any, specs: Sequence[wire.TensorSpec], arrays: Sequence[Array]) -> list[Samples]:
        """Outputs of an ONNX model over all samples. Raises :class:`WorkerTrouble`."""
        ...


class Runner:
    """One target, in a worker of its own; when a model kills it, the next model starts another."""

    def __init__(self, target: Target, folder: Path, timeout_s: float) -> None:
        refuse_boards([str(target)], "bisect")
        self.target, self.folder, self.timeout_s = target, folder, timeout_s
        self.link: Link | None = None

    def run(self, model: Any, specs: Sequence[wire.TensorSpec], arrays: Sequence[Array]) -> list[Samples]:
        """Outputs of an ONNX model over all samples. Raises :class:`WorkerTrouble`."""
        paths = [self.folder / name for name in ("model.onnx", "inputs.npz", "outputs.npz")]
        _save(model, paths[0])
        save(arrays, paths[1])
        job = wire.Open(self.target.backend, self.target.device, str(paths[0]), "onnx", self.target.precision)
        job.threads, job.options, job.inputs = self.target.threads or 1, self.target.options, list(specs)
        if self.link is None:
            self.link = local.start(self.target.python, timeout_s=self.timeout_s, where=str(self.target))
        try:
            self.link.ask(job, wire.Opened)
            self.link.ask(wire.Infer(str(paths[1]), str(paths[2])), wire.Inferred, 10 * self.timeout_s)
        except WorkerTrouble as trouble:
            if trouble.kind not in ("refused", "bad-request"):
                self.close()
            raise
        return list(outputs_of(paths[2]))

    def close(self) -> None:
        """End the worker."""
        if self.link is not None:
            self.link.close()
        self.link = None


class Values:
    """Tensors on disk, by name: all of a model's are more than memory may hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.files: dict[str, Path] = {}
        self.shapes: dict[str, list[int]] = {}

    def keep(self, name: str, values: Samples) -> None:
        if isinstance(values, list):
            return  # of varying shape: nothing can be fed with them
        self.files.setdefault(name, self.folder / f"{len(self.files)}.npy")
        self.shapes[name] = list(values.shape[1:])
        np.save(self.files[name], values)

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def __getitem__(self, name: str) -> Array:
        loaded: Array = np.load(self.files[name])
        return loaded


class Side:
    """One side. Points go by their names; of a point it knows the tensor that shows it (``taps``), and those at which
    pieces that are fed with it begin (``stops``)."""

    def __init__(
        self,
        graph: Graph,
        runner: Runs,
        specs: Sequence[wire.TensorSpec],
        samples: Sequence[Array],
        folder: Path,
    ) -> None:
        self.graph, self.runner, self.specs = graph, runner, list(specs)
        self.samples = [_cast(array, spec.dtype) for array, spec in zip(samples, specs, strict=True)]
        self.values = Values(folder)
        self.taps: dict[str, str] = {}
        self.stops: dict[str, tuple[str, ...]] = {}
        self.point_of: dict[str, str] = {}

    def know(self, points: dict[str, tuple[str, tuple[str, ...]]], inputs: Sequence[str]) -> None:
        """Learn taps and stops of all points, and how the inputs are called (as the reference calls them)."""
        self.taps = {name: tap for name, (tap, _) in points.items()}
        self.stops = {name: stops for name, (_, stops) in points.items()}
        self.point_of = dict(zip(self.graph.inputs, inputs, strict=True))
        self.point_of |= {stop: name for name, stops in self.stops.items() for stop in stops}
        for name, array in zip(inputs, self.samples, strict=True):
            self.values.keep(name, array)

    def whole(self) -> list[Samples]:
        """The outputs of the model as it is. Raises :class:`UserError`."""
        try:
            outputs = self.runner.run(self.graph.model, self.specs, self.samples)
        except WorkerTrouble as trouble:
            where = getattr(self.runner, "target", "this runtime")
            remedy = RUNS if "--form" in (trouble.remedy or "") else trouble.remedy
            raise UserError(f"{self.graph.name} does not run on {where}: {trouble}", remedy) from trouble
        if len(outputs) != len(self.graph.outputs):
            raise UserError(f"{self.graph.name} gives {len(outputs)} outputs instead of {len(self.graph.outputs)}")
        return outputs

    def tapped(self, names: Sequence[str]) -> tuple[list[Samples], list[Samples]]:
        """The tensors of these points, and the outputs beside them. Raises :class:`WorkerTrouble`."""
        model, at = taps.tapped(self.graph, [self.taps[name] for name in names])
        outputs = self.runner.run(model, self.specs, self.samples)
        return [outputs[one] for one in at], outputs[: len(self.graph.outputs)]

    def given(self, name: str) -> Array | None:
        """The samples of a point that is an input; ``None`` for any other."""
        tap = self.taps[name]
        return self.samples[self.graph.inputs.index(tap)] if tap in self.graph.inputs else None

    def piece(self, name: str) -> Piece:
        """What makes a point's tensor from other points."""
        stops = {stop for other, stops in self.stops.items() for stop in stops if other != name}
        return taps.piece(self.graph, self.taps[name], stops)

    def feeds(self, piece: Piece) -> list[str]:
        """The points that a piece is fed with, or inputs."""
        return [self.point_of.get(name, name) for name in piece.fed]

    def alone(self, pieces: Sequence[Piece], values: Values, shapes: Sequence[Sequence[int]]) -> list[Samples]:
        """Each piece alone, fed with these values; ``shapes`` are their tensors'. Raises :class:`WorkerTrouble`."""
        called = {name: self.point_of.get(name, name) for one in pieces for name in one.fed}
        known = values.shapes | {one.tensor: shape for one, shape in zip(pieces, shapes, strict=True)}
        model, order = taps.isolated(self.graph, pieces, called, known)
        types = {called[name]: self._dtype(name) for name in called}
        specs = [wire.TensorSpec(f"{taps.FED}{at}", types[one], values.shapes[one]) for at, one in enumerate(order)]
        return self.runner.run(model, specs, [_cast(values[one], types[one]) for one in order])

    def go_on(self, name: str, values: Array) -> list[Samples]:
        """The outputs when a point's tensor is what it is told to be. Raises :class:`WorkerTrouble`."""
        graph, tap = self.graph, self.taps[name]
        if graph.outputs == [tap]:
            return [values]
        names = [tap] if tap in graph.outputs else [tap, *_twins(graph, tap)]
        model, needed = taps.after(graph, dict.fromkeys(names, values.shape[1:]))
        kept = [at for at, one in enumerate(graph.inputs) if one in needed]
        specs = [wire.TensorSpec(one, self._dtype(one), list(values.shape[1:])) for one in names]
        arrays = [_cast(values, spec.dtype) for spec in specs]
        specs, arrays = [*(self.specs[at] for at in kept), *specs], [*(self.samples[at] for at in kept), *arrays]
        if tap not in graph.outputs:
            return self.runner.run(model, specs, arrays)
        at = graph.outputs.index(tap)  # no output may be an input too
        del model.graph.output[at]
        ends = self.runner.run(model, specs, arrays)
        return [*ends[:at], values, *ends[at:]]

    def _dtype(self, tensor: str) -> str:
        from onnx import helper

        return str(helper.tensor_dtype_to_np_dtype(self.graph.types.get(tensor, 1)))


def _save(model: Any, path: Path) -> None:
    import onnx

    for old in path.parent.glob("model.onnx*"):
        old.unlink()
    if model.ByteSize() < FILE_MOST:
        path.write_bytes(model.SerializeToString())
        return
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save_model(copy, str(path), save_as_external_data=True, location="model.onnx.data")


def _twins(graph: Graph, tap: str) -> list[str]:
    """Other tensors that are the same as one that was quantised and dequantised: each reader may have its own."""
    before = taps.before_quantising(graph, tap)
    return [name for name in graph.dequantised(before) if name != tap] if before is not None else []


def _cast(array: Array, dtype: str) -> Array:
    return array if str(array.dtype) == dtype else array.astype(dtype)

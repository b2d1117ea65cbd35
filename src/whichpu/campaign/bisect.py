"""Why did it change? Two models, or two runtimes on one, held against each other layer by layer, on real inputs.

Three ways of taking the graph apart answer everything, each run by the runtime itself:

- *tapped*: some tensors inside are outputs too. Taps change what a runtime can compute as one, so that few are set at
  a time and they lie apart, and what the outputs are without any is looked at as well;
- *isolated*: the pieces between such tensors, each fed with the reference's numbers: its own error;
- *after*: the model from one tensor on, fed with that tensor: what an error there does to the outputs.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from whichpu.campaign import causes
from whichpu.campaign.outputs import outputs_of
from whichpu.campaign.plan import describe_all
from whichpu.campaign.watch import Watch
from whichpu.errors import UserError
from whichpu.models import artefact, inputs, taps
from whichpu.models.taps import Graph, Match, Piece, Point
from whichpu.results import bisection
from whichpu.results.bisection import Bisection, Layer, Output
from whichpu.stats.apart import Apart, apart
from whichpu.targets import local
from whichpu.targets.link import Link, WorkerTrouble
from whichpu.targets.target import Target, parse
from whichpu.tasks import Task, prepared
from whichpu.tasks import load as load_task
from whichpu.worker import wire

Array = npt.NDArray[Any]
Samples = list[Array] | Array
"""One tensor for all samples, ``[samples, *shape]``, or a list where shapes vary."""
Item = TypeVar("Item")

REFERENCE = Target(backend="onnxruntime")
TAPS_MOST, STRIDE_LEAST = 16, 4
"""Tensors shown by one tapped model at most, and how many lie from one to the next at least."""
BYTES_MOST = 256 << 20
"""Of one tapped model's outputs, over all samples."""
TRIED = 6
"""Layers of the largest own errors whose effect on the outputs is looked at."""
FILE_MOST = 1_800_000_000
"""Bytes of a model that fits one protobuf file (2 GiB) with some room."""


class Asked(msgspec.Struct, kw_only=True, frozen=True):
    """What the user asked for. Of ``on``, the last is the target looked at, the one before it that held against."""

    model: Path
    on: tuple[str, ...] = ()
    against: Path | None = None
    data: Path | None = None
    shapes: Mapping[str | None, Sequence[int]] = {}
    samples: int = 4
    bound: float = 1e-3
    seed: int = 0
    timeout_s: float = 120.0


class Side(Protocol):
    """What runs models of one of the two sides."""

    def run(self, model: Any, specs: Sequence[wire.TensorSpec], arrays: Sequence[Array]) -> list[Samples]:
        """Outputs of an ONNX model over all samples. Raises :class:`WorkerTrouble`."""
        ...


class Runner:
    """One target, in a worker of its own; when a model kills it, the next model starts another."""

    def __init__(self, target: Target, folder: Path, timeout_s: float) -> None:
        self.target, self.folder, self.timeout_s = target, folder, timeout_s
        self.link: Link | None = None

    def run(self, model: Any, specs: Sequence[wire.TensorSpec], arrays: Sequence[Array]) -> list[Samples]:
        """Outputs of an ONNX model over all samples. Raises :class:`WorkerTrouble`."""
        paths = [self.folder / name for name in ("model.onnx", "inputs.npz", "outputs.npz")]
        _save(model, paths[0])
        with paths[1].open("wb") as file:
            np.savez(file, **{f"input_{at}": array for at, array in enumerate(arrays)})  # type: ignore[arg-type]
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


def bisect(asked: Asked, watch: Watch) -> Bisection:
    """Where, and by what layer, do the two sides begin to differ? Raises :class:`UserError`."""
    target, reference = _targets(asked)
    ours, specs = _graph(asked.model, asked)
    theirs, their_specs = (ours, specs) if asked.against is None else _graph(asked.against, asked)
    if [spec.shape for spec in specs] != [spec.shape for spec in their_specs]:
        raise UserError(
            f"{ours.name} takes {_told(specs)}, but {theirs.name} takes {_told(their_specs)}: they can't be fed alike",
            "give two forms of one network (--shape gives sizes to dynamic inputs)",
        )
    if len(ours.outputs) != len(theirs.outputs):
        raise UserError(f"{ours.name} gives {len(ours.outputs)} outputs, {theirs.name} gives {len(theirs.outputs)}")
    task = load_task(asked.data, asked.model.stem) if asked.data is not None and asked.data.suffix == ".toml" else None
    indices, samples = _samples(asked, task, specs)
    with tempfile.TemporaryDirectory(prefix="whichpu-") as name:
        folder = Path(name)
        runners = [
            Runner(one, _made(folder / side), asked.timeout_s) for one, side in ((target, "a"), (reference, "b"))
        ]
        study = Study(ours, theirs, runners[0], runners[1], samples, specs, their_specs, folder, watch)
        study.bound, study.task, study.indices = asked.bound, task, indices
        found = Bisection(
            model=ours.name,
            against=theirs.name,
            target=str(target),
            against_target=str(reference),
            data=asked.data.name if asked.data is not None else f"random (seed {asked.seed})",
            samples=len(samples[0]),
            bound=asked.bound,
            matched_by=study.match.by,
            outputs=[],
            layers=[],
            unmatched=study.match.unmatched,
        )
        try:
            return study.fill(found)
        finally:
            for runner in runners:
                runner.close()


class Study:
    """One bisection under way."""

    bound = 1e-3
    task: Task | None = None
    indices: Sequence[int] = ()

    def __init__(
        self,
        ours: Graph,
        theirs: Graph,
        side: Side,
        other: Side,
        samples: Sequence[Array],
        specs: Sequence[wire.TensorSpec],
        their_specs: Sequence[wire.TensorSpec],
        folder: Path,
        watch: Watch,
    ) -> None:
        self.ours, self.theirs, self.side, self.other = ours, theirs, side, other
        self.specs, self.their_specs, self.watch = list(specs), list(their_specs), watch
        self.samples = list(samples)
        self.their_samples = [_cast(array, spec.dtype) for array, spec in zip(samples, their_specs, strict=True)]
        self.match: Match = taps.match(ours, theirs)
        self.points = {point.name: point for point in self.match.points}
        self.our_values, self.values = Values(folder / "ours"), Values(folder / "theirs")
        self.changed_by_taps = 0
        self.notes: list[str] = []
        self.called: tuple[dict[str, str], ...] = tuple(
            {stop: one.name for one in self.points.values() for stop in (one.our_stops if side else one.their_stops)}
            for side in (0, 1)
        )
        self.pieces = {name: self._piece(ours, point, 1) for name, point in self.points.items()}
        self.layers = {name: self._layer(point) for name, point in self.points.items()}
        for name, array in zip(theirs.inputs, self.samples, strict=True):
            self.our_values.keep(name, array)
            self.values.keep(name, array)

    def fill(self, found: Bisection) -> Bisection:
        """Do everything; what a runtime refuses is left out, with its words. Raises :class:`UserError`."""
        self.watch.phase("running both sides as they are")
        self.ends = self._whole(self.side, self.ours, self.specs, self.samples)
        self.their_ends = self._whole(self.other, self.theirs, self.their_specs, self.their_samples)
        found.outputs = self._outputs(self.ends, self.their_ends)
        for name, one, other in zip(self.ours.outputs, self.ends, self.their_ends, strict=True):
            kinds = [np.asarray(values[0]).dtype for values in (one, other)]
            if kinds[0].kind != kinds[1].kind:
                self.notes.append(f"output {name} is {kinds[0]}, the reference's {kinds[1]}: not numbers of one scale")
        self._scores(found)
        self._scan()
        self._isolate()
        found.layers = [layer for layer in self.layers.values() if layer.error is not None or layer.why_not is not None]
        if not any(layer.error is not None for layer in found.layers):
            why = next((layer.why_not for layer in found.layers if layer.why_not), "nothing could be compared")
            raise UserError(f"no layer could be looked at: {why}", "try another runtime, or --against another model")
        self._effects(found.layers, found.outputs)
        self._judge(found)
        found.notes = self.notes
        return found

    # ------------------------------------------------------------ the whole, and what lies inside

    def _whole(
        self, side: Side, graph: Graph, specs: Sequence[wire.TensorSpec], arrays: Sequence[Array]
    ) -> list[Samples]:
        try:
            outputs = side.run(graph.model, specs, arrays)
        except WorkerTrouble as trouble:
            where = getattr(side, "target", "this runtime")
            raise UserError(f"{graph.name} does not run on {where}: {trouble}", trouble.remedy) from trouble
        if len(outputs) != len(graph.outputs):
            raise UserError(f"{graph.name} gives {len(outputs)} outputs instead of {len(graph.outputs)}")
        return outputs

    def _scan(self) -> None:
        """The error of each tensor, with few taps at a time, spread over the network."""
        for group in self._groups():
            self.watch.phase(f"looking at {len(group)} of {len(self.points)} tensors")
            for names, theirs in self._tapped(self.other, self.theirs, group, self.their_specs, self.their_samples, 0):
                for name, values in zip(names, theirs, strict=True):
                    self.values.keep(name, values)
            for names, ours in self._tapped(self.side, self.ours, group, self.specs, self.samples, 1):
                for name, values in zip(names, ours, strict=True):
                    self._compare(name, values)

    def _groups(self) -> Iterator[list[str]]:
        """Points that are tapped together: each as far from the next as can be."""
        names = list(self.points)
        each = len(self.samples[0]) if self.samples else 1
        total = sum(taps.bytes_of(self.ours, point.ours) for point in self.points.values()) * each
        runs = max(min(STRIDE_LEAST, len(names)), -(-len(names) // TAPS_MOST), -(-total // BYTES_MOST))
        return (names[at::runs] for at in range(min(runs, len(names))))

    def _tapped(
        self,
        side: Side,
        graph: Graph,
        names: Sequence[str],
        specs: Sequence[wire.TensorSpec],
        arrays: Sequence[Array],
        ours: int,
    ) -> Iterator[tuple[list[str], list[Samples]]]:
        """Tensors with taps; where a runtime refuses several at once, in halves."""
        wanted = [self.points[name].ours if ours else self.points[name].theirs for name in names]
        inner = [(name, one) for name, one in zip(names, wanted, strict=True) if one not in graph.inputs]
        for name, one in zip(names, wanted, strict=True):
            if one in graph.inputs:
                yield [name], [arrays[graph.inputs.index(one)]]
        for group, outputs in self._split(inner, lambda part: self._tap(side, graph, part, specs, arrays, ours)):
            yield [name for name, _ in group], outputs

    def _tap(
        self,
        side: Side,
        graph: Graph,
        pairs: Sequence[tuple[str, str]],
        specs: Sequence[wire.TensorSpec],
        arrays: Sequence[Array],
        ours: int,
    ) -> list[Samples]:
        model, at = taps.tapped(graph, [one for _, one in pairs])
        outputs = side.run(model, specs, arrays)
        if ours:
            ends = outputs[: len(graph.outputs)]
            self.changed_by_taps += any(one.error.beyond(self.bound) for one in self._outputs(ends, self.ends))
        return [outputs[one] for one in at]

    def _split(
        self, items: Sequence[Any], run: Callable[[Sequence[Any]], list[Samples]]
    ) -> Iterator[tuple[Sequence[Any], list[Samples]]]:
        """Run all at once; when that is refused, in halves; what is refused alone is noted with its layer."""
        if not items:
            return
        try:
            yield items, run(items)
        except WorkerTrouble as trouble:
            if len(items) == 1 or trouble.kind == "hung":  # each half would take the whole time again
                for name, _ in items:
                    self.layers[name].why_not = str(trouble).strip().splitlines()[0]
                return
            half = len(items) // 2
            yield from self._split(items[:half], run)
            yield from self._split(items[half:], run)

    def _compare(self, name: str, ours: Samples) -> None:
        layer = self.layers[name]
        if name not in self.values:
            layer.why_not = layer.why_not or "its shape depends on the data"
            return
        theirs = self.values[name]
        if not isinstance(ours, list) and ours.dtype.kind not in "fV":  # whole numbers of a type not declared
            return
        try:
            layer.error = apart(zip(ours, theirs, strict=True))
        except ValueError as problem:
            layer.why_not = f"it has another shape: {problem}"
            return
        self.our_values.keep(name, ours)

    # ------------------------------------------------------------ own errors

    def _isolate(self) -> None:
        """Each piece alone, fed with the reference's numbers."""
        ready = [(name, self.pieces[name]) for name in self.points if name in self.our_values]
        ready = [(name, one) for name, one in ready if all(self._called(fed, 1) in self.values for fed in one.fed)]
        each = len(self.samples[0])
        sizes = {name: taps.bytes_of(self.ours, self.points[name].ours) * each for name, _ in ready}
        for group in _chunks(ready, [sizes[name] for name, _ in ready]):
            self.watch.phase("running layers alone")
            for pairs, outputs in self._split(
                group, lambda part: self._alone(self.side, self.ours, part, self.values, 1)
            ):
                for (name, _), values in zip(pairs, outputs, strict=True):
                    self._own(name, values)

    def _own(self, name: str, values: Samples) -> None:
        layer = self.layers[name]
        try:
            layer.own = apart(zip(values, self.values[name], strict=True))
        except ValueError as problem:
            layer.why_not = f"alone it has another shape: {problem}"
            return
        self.our_values.keep(f"{name} alone", values)

    def _alone(
        self, side: Side, graph: Graph, pairs: Sequence[tuple[str, Piece]], values: Values, ours: int
    ) -> list[Samples]:
        called = {fed: self._called(fed, ours) for _, one in pairs for fed in one.fed}
        shapes = values.shapes | {one.tensor: self.values.shapes[name] for name, one in pairs}
        model, order = taps.isolated(graph, [one for _, one in pairs], called, shapes)
        types = {called[fed]: _dtype(graph, fed) for fed in called}
        arrays = [_cast(values[name], types[name]) for name in order]
        specs = [wire.TensorSpec(f"{taps.FED}{at}", types[name], values.shapes[name]) for at, name in enumerate(order)]
        return side.run(model, specs, arrays)

    def _called(self, tensor: str, ours: int) -> str:
        """The point that a tensor of one of the graphs stands for; an input is called as the reference calls it."""
        graph = self.ours if ours else self.theirs
        if tensor in graph.inputs and tensor not in self.called[ours]:
            tensor, ours = self.theirs.inputs[graph.inputs.index(tensor)], 0
        return self.called[ours].get(tensor, tensor)

    # ------------------------------------------------------------ effects on the outputs

    def _effects(self, layers: Sequence[Layer], outputs: Sequence[Output]) -> None:
        """What the largest own errors do to the outputs, each alone, and what is left of the error without each."""
        if not any(output.error.size for output in outputs):
            return
        for at in bisection.suspects(layers, TRIED):
            layer = layers[at]
            self.watch.phase(f"what {layer.node} does to the outputs")
            try:
                self._alone_wrong(layer)
                self._alone_right(layer)
            except WorkerTrouble as trouble:
                layer.why_not = str(trouble).strip().splitlines()[0]
        for at in bisection.worst_own(layers):
            layer = layers[at]
            values = self.values[layer.tensor]
            layer.causes = causes.causes(self.ours, self.theirs, self.pieces[layer.tensor], values)

    def _alone_wrong(self, layer: Layer) -> None:
        """The reference goes on from what this layer made of the reference's numbers."""
        wrong = self.our_values[f"{layer.tensor} alone"]
        ends = self._go_on(
            self.other, self.theirs, self.points[layer.tensor], wrong, self.their_samples, self.their_specs, 0
        )
        layer.alone = _most(self._outputs(ends, self.their_ends))
        layer.score_alone = self._score(ends)

    def _alone_right(self, layer: Layer) -> None:
        """This side goes on from what the reference's layer made of this side's numbers."""
        point = self.points[layer.tensor]
        one = self._piece(self.theirs, point, 0)
        if not all(self._called(fed, 0) in self.our_values for fed in one.fed):
            return
        if not one.nodes:  # an input: only this side quantises it
            right: Samples = self.samples[self.theirs.inputs.index(one.tensor)]
        else:
            right = self._alone(self.other, self.theirs, [(layer.tensor, one)], self.our_values, 0)[0]
        if isinstance(right, list):
            return
        ends = self._go_on(self.side, self.ours, point, right, self.samples, self.specs, 1)
        layer.without = _most(self._outputs(ends, self.their_ends))

    def _go_on(
        self,
        side: Side,
        graph: Graph,
        point: Point,
        values: Array,
        arrays: Sequence[Array],
        specs: Sequence[wire.TensorSpec],
        ours: int,
    ) -> list[Samples]:
        """The outputs when a tensor is what it is told to be."""
        tap = point.ours if ours else point.theirs
        # What both sides quantise is fed as it comes out of that.
        names = list(dict.fromkeys([tap, *(graph.dequantised(_before(graph, tap)) or [])]))
        if tap in graph.outputs:
            names = [tap]
        if names == [tap] and tap in graph.outputs and graph.outputs == [tap]:
            return [values]
        model, needed = taps.after(graph, dict.fromkeys(names, values.shape[1:]))
        kept = [at for at, spec in enumerate(graph.inputs) if spec in needed]
        feeds = [wire.TensorSpec(name, _dtype(graph, name), list(values.shape[1:])) for name in names]
        fed = [_cast(values, spec.dtype) for spec in feeds]
        if tap in graph.outputs:  # no output may be an input too
            model, at = _without_output(model, tap), graph.outputs.index(tap)
            ends = side.run(model, [*(specs[one] for one in kept), *feeds], [*(arrays[one] for one in kept), *fed])
            return [*ends[:at], values, *ends[at:]]
        return side.run(model, [*(specs[one] for one in kept), *feeds], [*(arrays[one] for one in kept), *fed])

    # ------------------------------------------------------------ judging

    def _judge(self, found: Bisection) -> None:
        layers, outputs = found.layers, found.outputs
        found.first = bisection.first_beyond(layers, self.bound)
        differs = any(output.error.beyond(self.bound) for output in outputs)
        if self.changed_by_taps:
            self.notes.append(
                f"looking into it changes it: in {self.changed_by_taps} of the runs the outputs moved beyond the bound,"
                " because taps keep the runtime from computing several layers as one"
            )
        stretch = self._fused(found) if differs else None
        if stretch:
            found.verdict, found.fused = "fused", stretch
        elif not differs:
            found.verdict = "same" if found.first is None else "inside"
        else:
            found.cause = bisection.culprit(layers, outputs, self.bound)
            found.verdict = "layer" if found.cause is not None else "gradual" if found.first is not None else "unknown"
        odd = next((layer for layer in layers if layer.error and layer.error.odd_in_reference), None)
        if odd is not None:
            self.notes.append(f"the reference itself gives NaN or infinity from {odd.node} ({odd.operator}) on")

    def _fused(self, found: Bisection) -> list[str] | None:
        """The stretch of tensors any of which, tapped alone, brings the outputs back within the bound."""
        if found.first is not None:
            layer = found.layers[found.first]
            explained = bisection.inherited(layer, found.layers) + (
                layer.own.size if layer.own is not None else math.inf
            )
            if layer.error is None or layer.error.size <= bisection.SUDDEN * explained:
                return None
        self.watch.phase("looking for layers computed as one")
        names = [layer.tensor for layer in found.layers if layer.error is not None]
        names = [name for name in names if self.points[name].ours not in self.ours.outputs]
        cures = self._cures(names)
        if not cures:
            return None
        ends = [layer.tensor for layer in found.layers if set(cures) & set(layer.feeds_on)]
        return [cures[0], (ends or cures)[-1]]

    def _cures(self, names: Sequence[str]) -> list[str]:
        """Those tensors that, tapped, bring the outputs back: groups that do so are looked into."""
        if not names:
            return []
        model, _ = taps.tapped(self.ours, [self.points[name].ours for name in names])
        try:
            ends = self.side.run(model, self.specs, self.samples)[: len(self.ours.outputs)]
        except WorkerTrouble:
            return []
        if any(one.error.beyond(self.bound) for one in self._outputs(ends, self.their_ends)):
            return []
        if len(names) == 1:
            return list(names)
        half = len(names) // 2
        return self._cures(names[:half]) + self._cures(names[half:])

    # ------------------------------------------------------------ small things

    def _piece(self, graph: Graph, point: Point, ours: int) -> Piece:
        own = point.our_stops if ours else point.their_stops
        stops = {stop for one in self.points.values() for stop in (one.our_stops if ours else one.their_stops)} - set(
            own
        )
        return taps.piece(graph, point.ours if ours else point.theirs, stops)

    def _layer(self, point: Point) -> Layer:
        one = self.pieces[point.name]
        nodes = [self.ours.nodes[at] for at in one.nodes]
        computing = [
            node for node in nodes if node.op_type not in taps.TRANSPARENT and set(node.output) & self.ours.live
        ]
        named = (computing or nodes)[-1]
        kinds = [node.op_type for node in computing] or [nodes[-1].op_type]
        feeds_on = [self._called(fed, 1) for fed in one.fed]
        return Layer(
            tensor=point.name,
            node=named.name or named.output[0],
            output=_number(named, one.tensor),
            operator=" + ".join(kinds[-4:]),
            feeds_on=[name for name in feeds_on if name in self.points],
        )

    def _outputs(self, ours: Sequence[Samples], theirs: Sequence[Samples]) -> list[Output]:
        found = []
        for name, one, other in zip(self.theirs.outputs, ours, theirs, strict=True):
            try:
                found.append(Output(name=name, error=apart(zip(one, other, strict=True))))
            except ValueError as problem:
                raise WorkerTrouble("bad-output", f"output {name} has another shape: {problem}") from problem
        return found

    def _scores(self, found: Bisection) -> None:
        if self.task is not None:
            found.metric = self.task.info.metric
            found.score, found.reference_score = self._score(self.ends), self._score(self.their_ends)

    def _score(self, outputs: Sequence[Samples]) -> float | None:
        """The task's score on these samples; ``None`` without a task, or where it can't read the outputs."""
        if self.task is None:
            return None
        try:
            answers = {
                index: self.task.finish(index, list(sample))
                for index, sample in zip(self.indices, zip(*outputs, strict=True), strict=True)
            }
            return self.task.evidence(answers)[self.task.info.metric].value()
        except (UserError, KeyError) as problem:
            self.notes.append(f"no score: {problem}")
            self.task = None
            return None


# ---------------------------------------------------------------- beginnings


def _targets(asked: Asked) -> tuple[Target, Target]:
    """The target looked at and the one that it is held against. Raises :class:`UserError`."""
    parsed = [parse(text)[1] for text in asked.on]
    if not parsed and asked.against is None:
        raise UserError(
            "there is nothing to hold the model against",
            "give --on TARGET (held against ONNX Runtime) or --against OTHER.onnx",
        )
    if len(parsed) > 2:
        raise UserError(f"{len(parsed)} targets are given; two can be held against each other", "give --on twice")
    if asked.against is not None:  # one runtime, unless two are named
        target = parsed[-1] if parsed else REFERENCE
        reference = parsed[0] if parsed else REFERENCE
    else:
        target, reference = parsed[-1], parsed[0] if len(parsed) == 2 else REFERENCE
    pairs = list(dict.fromkeys((one.backend, one.python) for one in (target, reference)))
    for (backend, _), said in describe_all(pairs, asked.timeout_s).items():
        if not said.usable:
            raise UserError(f"{backend} can't run here: {said.why_not}", said.remedy)
        if "onnx" not in said.formats:
            raise UserError(
                f"{backend} does not read ONNX, so nobody can look inside: it takes {', '.join(said.formats)}",
                "bisect on a runtime that reads ONNX (onnxruntime, openvino, opencv)",
            )
    return target, reference


def _graph(path: Path, asked: Asked) -> tuple[Graph, list[wire.TensorSpec]]:
    """A model and its inputs. Raises :class:`UserError`."""
    form = artefact.format_of(path)
    if form != "onnx":
        raise UserError(f"{path} is {form}; bisect looks inside ONNX files", "give the ONNX file that it was made from")
    model = artefact.load(path, shapes=asked.shapes, siblings=False)
    return taps.read(path), model.inputs or []


def _samples(asked: Asked, task: Task | None, specs: list[wire.TensorSpec]) -> tuple[list[int], list[Array]]:
    """Indices and inputs of the samples. Raises :class:`UserError`."""
    if task is not None:
        found: list[tuple[int, list[Array]]] = []
        for index, sample in prepared(task):
            found.append((index, sample))
            if len(found) == asked.samples:
                break
        if not found:
            raise UserError(f"no sample of {task.info.name} can be used")
        if len(found[0][1]) != len(specs):
            raise UserError(f"the task gives {len(found[0][1])} inputs, the model takes {len(specs)}")
        columns = [np.stack(column) for column in zip(*(sample for _, sample in found), strict=True)]
        return [index for index, _ in found], inputs.fitted(columns, specs, task.info.name)
    if asked.data is not None:
        arrays = [array[: asked.samples] for array in inputs.from_npz(asked.data, specs)]
    else:
        arrays = inputs.random(specs, asked.seed, asked.samples)
    return list(range(len(arrays[0]))), arrays


def _told(specs: Sequence[wire.TensorSpec]) -> str:
    return ", ".join(f"{spec.name} ({spec.dtype} {'x'.join(map(str, spec.shape)) or 'scalar'})" for spec in specs)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


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


def _without_output(model: Any, name: str) -> Any:
    kept = [value for value in model.graph.output if value.name != name]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def _number(node: Any, tensor: str) -> int | None:
    """Which of several outputs of a node a tensor is."""
    several = [name for name in node.output if name]
    return list(node.output).index(tensor) if len(several) > 1 and tensor in several else None


def _before(graph: Graph, tap: str) -> str:
    """The tensor that a tap shows quantised and dequantised; else the tap itself."""
    node = graph.nodes[graph.maker[tap]] if tap in graph.maker else None
    if node is None or node.op_type != "DequantizeLinear" or node.input[0] not in graph.maker:
        return tap
    before = graph.nodes[graph.maker[node.input[0]]]
    return str(before.input[0]) if before.op_type == "QuantizeLinear" else tap


def _dtype(graph: Graph, tensor: str) -> str:
    from onnx import helper

    kind = graph.types.get(tensor, 1)
    return str(helper.tensor_dtype_to_np_dtype(kind))


def _cast(array: Array, dtype: str) -> Array:
    return array if str(array.dtype) == dtype else array.astype(dtype)


def _most(outputs: Sequence[Output]) -> Apart:
    return bisection.worst_output(list(outputs)).error


def _chunks(items: Sequence[Item], sizes: Sequence[int]) -> Iterator[list[Item]]:
    """Items in groups of :data:`TAPS_MOST` and :data:`BYTES_MOST` at most."""
    group: list[Item] = []
    total = 0
    for item, size in zip(items, sizes, strict=True):
        if group and (len(group) == TAPS_MOST or total + size > BYTES_MOST):
            yield group
            group, total = [], 0
        group.append(item)
        total += size
    if group:
        yield group

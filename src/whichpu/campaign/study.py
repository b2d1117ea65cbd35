"""Two sides of a bisection held against each other, layer by layer.

Three ways of taking the graph apart answer everything, each run by the runtime itself:

- *tapped*: some tensors inside are outputs too. Taps change what a runtime can compute as one, so that few are set at
  a time and they lie apart, and what the outputs are without any is looked at as well;
- *alone*: the pieces between such tensors, each fed with the reference's numbers: its own error;
- *going on*: the model from one tensor on, fed with that tensor: what an error there does to the outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from whichpu.campaign import causes
from whichpu.campaign.sides import Samples, Side
from whichpu.campaign.watch import Watch
from whichpu.errors import UserError
from whichpu.models import taps
from whichpu.results import bisection
from whichpu.results.bisection import Bisection, Layer, Output
from whichpu.stats.apart import Apart, apart
from whichpu.targets.link import WorkerTrouble
from whichpu.tasks import Task

TAPS_MOST, STRIDE_LEAST = 16, 4
"""Tensors shown by one tapped model at most, and how many lie from one to the next at least."""
BYTES_MOST = 256 << 20
"""Of one tapped model's outputs, over all samples."""
TRIED = 6
"""Layers of the largest own errors whose effect on the outputs is looked at."""


class Study:
    """One bisection under way: ``ours`` is looked at, ``theirs`` is the reference."""

    def __init__(
        self,
        ours: Side,
        theirs: Side,
        watch: Watch,
        bound: float,
        task: Task | None = None,
        indices: Sequence[int] = (),
    ) -> None:
        self.ours, self.theirs, self.watch, self.bound = ours, theirs, watch, bound
        self.task, self.indices = task, indices
        self.match = taps.match(ours.graph, theirs.graph)
        points = self.match.points
        ours.know({point.name: (point.ours, point.our_stops) for point in points}, theirs.graph.inputs)
        theirs.know({point.name: (point.theirs, point.their_stops) for point in points}, theirs.graph.inputs)
        self.names = [point.name for point in points]
        self.pieces = {name: ours.piece(name) for name in self.names}
        self.layers = {name: self._layer(name) for name in self.names}
        self.changed_by_taps = 0
        self.notes: list[str] = []

    def fill(self, found: Bisection) -> Bisection:
        """Do everything; what a runtime refuses is left out, with its words. Raises :class:`UserError`."""
        self.watch.phase("running both sides as they are")
        self.ends, self.their_ends = self.ours.whole(), self.theirs.whole()
        found.matched_by, found.unmatched = self.match.by, self.match.unmatched
        try:
            found.outputs = self._outputs(self.ends, self.their_ends)
        except WorkerTrouble as trouble:
            raise UserError(str(trouble), "give two forms of one network") from trouble
        self._note_types()
        self._score_ends(found)
        self._scan()
        self._isolate()
        found.layers = [layer for layer in self.layers.values() if layer.error is not None or layer.why_not is not None]
        if not any(layer.error is not None for layer in found.layers):
            why = next((layer.why_not for layer in found.layers if layer.why_not), "nothing could be compared")
            raise UserError(f"no layer could be looked at: {why}", "try another runtime, or --against another model")
        if any(output.error.size for output in found.outputs):
            self._effects(found.layers)
        self._judge(found)
        found.notes = self.notes
        return found

    # ------------------------------------------------------------ what lies inside

    def _scan(self) -> None:
        """The error of each tensor, with few taps at a time, spread over the network."""
        for group in self._groups():
            self.watch.phase(f"looking at {len(group)} of {len(self.names)} tensors")
            for name, values in self._tapped(self.theirs, group):
                self.theirs.values.keep(name, values)
            for name, values in self._tapped(self.ours, group):
                self._compare(name, values)

    def _groups(self) -> list[list[str]]:
        """Points that are tapped together: each as far from the next as can be."""
        total = sum(map(self._bytes, self.names))
        runs = max(STRIDE_LEAST, -(-len(self.names) // TAPS_MOST), -(-total // BYTES_MOST))
        return [self.names[at::runs] for at in range(min(runs, len(self.names)))]

    def _tapped(self, side: Side, names: Sequence[str]) -> Iterator[tuple[str, Samples]]:
        """Tensors with taps; where a runtime refuses several at once, in halves."""
        inputs = {name: given for name in names if (given := side.given(name)) is not None}
        yield from inputs.items()
        yield from self._split([name for name in names if name not in inputs], lambda part: self._tap(side, part))

    def _tap(self, side: Side, names: Sequence[str]) -> list[Samples]:
        tensors, ends = side.tapped(names)
        if side is self.ours:
            self.changed_by_taps += self._beyond(ends, self.ends)
        return tensors

    def _split(
        self, names: Sequence[str], run: Callable[[Sequence[str]], list[Samples]]
    ) -> Iterator[tuple[str, Samples]]:
        """Run all at once; when that is refused, in halves; what is refused alone is noted with its layer."""
        if not names:
            return
        try:
            yield from zip(names, run(names), strict=True)
        except WorkerTrouble as trouble:
            if len(names) == 1 or trouble.kind == "hung":  # each half would take the whole time again
                for name in names:
                    self.layers[name].why_not = _line(trouble)
                return
            half = len(names) // 2
            yield from self._split(names[:half], run)
            yield from self._split(names[half:], run)

    def _compare(self, name: str, values: Samples) -> None:
        layer = self.layers[name]
        if name not in self.theirs.values:
            layer.why_not = layer.why_not or "its shape depends on the data"
            return
        if not isinstance(values, list) and values.dtype.kind not in "fV":  # whole numbers of a type not declared
            return
        try:
            layer.error = apart(zip(values, self.theirs.values[name], strict=True))
        except ValueError as problem:
            layer.why_not = f"it has another shape: {problem}"
            return
        self.ours.values.keep(name, values)

    # ------------------------------------------------------------ own errors

    def _isolate(self) -> None:
        """Each piece alone, fed with the reference's numbers."""
        known = self.theirs.values
        ready = [name for name in self.names if name in self.ours.values]
        ready = [name for name in ready if all(fed in known for fed in self.ours.feeds(self.pieces[name]))]
        for group in self._chunks(ready):
            self.watch.phase("running layers alone")
            for name, values in self._split(group, self._alone):
                self._own(name, values)

    def _alone(self, names: Sequence[str]) -> list[Samples]:
        known = self.theirs.values
        return self.ours.alone([self.pieces[name] for name in names], known, [known.shapes[name] for name in names])

    def _own(self, name: str, values: Samples) -> None:
        try:
            self.layers[name].own = apart(zip(values, self.theirs.values[name], strict=True))
        except ValueError as problem:
            self.layers[name].why_not = f"alone it has another shape: {problem}"
            return
        self.ours.values.keep(_alone(name), values)

    # ------------------------------------------------------------ effects on the outputs

    def _effects(self, layers: Sequence[Layer]) -> None:
        """What the largest own errors do to the outputs, each alone, and what is left of the error without each."""
        for at in bisection.suspects(layers, TRIED):
            layer = layers[at]
            self.watch.phase(f"what {layer.node} does to the outputs")
            try:
                self._only_it_wrong(layer)
                self._only_it_right(layer)
            except WorkerTrouble as trouble:
                layer.why_not = _line(trouble)
        for at in bisection.worst_own(layers):
            layer = layers[at]
            values = self.theirs.values[layer.tensor]
            layer.causes = causes.causes(self.ours.graph, self.theirs.graph, self.pieces[layer.tensor], values)

    def _only_it_wrong(self, layer: Layer) -> None:
        """The reference goes on from what this layer made of the reference's numbers."""
        ends = self.theirs.go_on(layer.tensor, self.ours.values[_alone(layer.tensor)])
        layer.alone = self._worst(ends)
        layer.score_alone = self._score(ends)

    def _only_it_right(self, layer: Layer) -> None:
        """This side goes on from what the reference's layer made of this side's numbers."""
        piece = self.theirs.piece(layer.tensor)
        if not all(fed in self.ours.values for fed in self.theirs.feeds(piece)):
            return
        right: Samples | None = self.theirs.given(layer.tensor)  # an input that only this side quantises
        if right is None:
            shape = self.theirs.values.shapes[layer.tensor]
            right = self.theirs.alone([piece], self.ours.values, [shape])[0]
        if not isinstance(right, list):
            layer.without = self._worst(self.ours.go_on(layer.tensor, right))

    # ------------------------------------------------------------ judging

    def _judge(self, found: Bisection) -> None:
        found.first = bisection.first_beyond(found.layers, self.bound)
        differs = self._beyond(self.ends, self.their_ends)
        found.fused = self._fused(found) if differs else None
        if not differs:
            found.verdict = "same" if found.first is None else "inside"
        elif found.fused is not None:
            found.verdict = "fused"
        else:
            found.cause = bisection.culprit(found.layers, found.outputs, self.bound)
            found.verdict = "layer" if found.cause is not None else "gradual" if found.first is not None else "unknown"
        if self.changed_by_taps:
            self.notes.append(
                f"looking into it changes it: in {self.changed_by_taps} of the runs the outputs moved beyond the bound,"
                " because taps keep the runtime from computing several layers as one"
            )
        odd = next((layer for layer in found.layers if layer.error and layer.error.odd_in_reference), None)
        if odd is not None:
            self.notes.append(f"the reference itself gives NaN or infinity from {odd.node} ({odd.operator}) on")

    def _fused(self, found: Bisection) -> list[str] | None:
        """The stretch of tensors any of which, tapped alone, brings the outputs back within the bound."""
        if found.first is not None:
            layer = found.layers[found.first]
            own = layer.own.size if layer.own is not None else math.inf
            explained = bisection.inherited(layer, found.layers) + own
            if layer.error is None or layer.error.size <= bisection.SUDDEN * explained:
                return None
        self.watch.phase("looking for layers computed as one")
        names = [layer.tensor for layer in found.layers if layer.error is not None]
        cures = self._cures([name for name in names if self.ours.taps[name] not in self.ours.graph.outputs])
        if not cures:
            return None
        ends = [layer.tensor for layer in found.layers if set(cures) & set(layer.feeds_on)]
        return [cures[0], (ends or cures)[-1]]

    def _cures(self, names: Sequence[str]) -> list[str]:
        """Those tensors that, tapped, bring the outputs back: groups that do so are looked into."""
        if not names:
            return []
        try:
            if self._beyond(self.ours.tapped(names)[1], self.their_ends):
                return []
        except WorkerTrouble:
            return []
        if len(names) == 1:
            return list(names)
        half = len(names) // 2
        return self._cures(names[:half]) + self._cures(names[half:])

    # ------------------------------------------------------------ small things

    def _layer(self, name: str) -> Layer:
        graph, piece = self.ours.graph, self.pieces[name]
        nodes = [graph.nodes[at] for at in piece.nodes]
        computing = [one for one in nodes if one.op_type not in taps.TRANSPARENT and set(one.output) & graph.live]
        named = (computing or nodes)[-1]
        return Layer(
            tensor=name,
            node=named.name or named.output[0],
            output=_number(named, piece.tensor),
            operator=" + ".join([one.op_type for one in computing][-4:] or [named.op_type]),
            feeds_on=[fed for fed in self.ours.feeds(piece) if fed in self.pieces],
        )

    def _outputs(self, ends: Sequence[Samples], reference: Sequence[Samples]) -> list[Output]:
        """The error of each output. Raises :class:`WorkerTrouble` for one of another shape."""
        found = []
        for name, one, other in zip(self.theirs.graph.outputs, ends, reference, strict=True):
            try:
                found.append(Output(name=name, error=apart(zip(one, other, strict=True))))
            except ValueError as problem:
                raise WorkerTrouble("bad-output", f"output {name} has another shape: {problem}") from problem
        return found

    def _beyond(self, ends: Sequence[Samples], reference: Sequence[Samples]) -> bool:
        return any(output.error.beyond(self.bound) for output in self._outputs(ends, reference))

    def _worst(self, ends: Sequence[Samples]) -> Apart:
        return bisection.worst_output(self._outputs(ends, self.their_ends)).error

    def _note_types(self) -> None:
        for name, one, other in zip(self.ours.graph.outputs, self.ends, self.their_ends, strict=True):
            kinds = [np.asarray(values[0]).dtype for values in (one, other)]
            if kinds[0].kind != kinds[1].kind:
                self.notes.append(f"output {name} is {kinds[0]}, the reference's {kinds[1]}: not numbers of one scale")

    def _score_ends(self, found: Bisection) -> None:
        if self.task is not None:
            found.metric = self.task.info.metric
            found.score, found.reference_score = self._score(self.ends), self._score(self.their_ends)

    def _score(self, outputs: Sequence[Samples]) -> float | None:
        """The task's score on these samples; ``None`` without a task, or where it can't read the outputs."""
        if self.task is None:
            return None
        try:
            samples = zip(self.indices, zip(*outputs, strict=True), strict=True)
            answers = {index: self.task.finish(index, list(sample)) for index, sample in samples}
            return self.task.evidence(answers)[self.task.info.metric].value()
        except (UserError, KeyError) as problem:
            self.notes.append(f"no score: {problem}")
            self.task = None
            return None

    def _bytes(self, name: str) -> int:
        """Of a point's tensor, over all samples."""
        return taps.bytes_of(self.ours.graph, self.ours.taps[name]) * len(self.ours.samples[0])

    def _chunks(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Names in groups of :data:`TAPS_MOST` and :data:`BYTES_MOST` at most."""
        group: list[str] = []
        for name in names:
            if group and (len(group) == TAPS_MOST or sum(map(self._bytes, [*group, name])) > BYTES_MOST):
                yield group
                group = []
            group.append(name)
        if group:
            yield group


def _alone(name: str) -> str:
    """Under which name the result of a layer alone is kept."""
    return f"{name} alone"


def _line(trouble: WorkerTrouble) -> str:
    return (str(trouble).strip().splitlines() or ["no reason is known"])[0]


def _number(node: Any, tensor: str) -> int | None:
    """Which of several outputs of a node a tensor is."""
    several = [name for name in node.output if name]
    return list(node.output).index(tensor) if len(several) > 1 and tensor in several else None

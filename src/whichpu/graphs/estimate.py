"""A roofline estimate of a placement: per operator and unit, plus transfers and conversions. Never a measurement.

Each operator takes the longer of its arithmetic over the peak and its bytes over the bandwidth (Williams, Waterman and
Patterson, "Roofline", CACM 2009), at a share of the peak that public measurements show or the user's own fit. Every
figure is a range; one that rests on something unpublished is absent, and ``missing`` says on what.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from whichpu.errors import UserError
from whichpu.graphs.calibrate import Calibration, calibrate, load
from whichpu.graphs.capability import Target
from whichpu.graphs.cost import Cost
from whichpu.graphs.graph import BITS, CONVERSIONS, Tensor
from whichpu.graphs.hardware import Hardware, Range, hardware
from whichpu.graphs.placement import Placed, Placement, model_edges

QUANTISES, DEQUANTISES = CONVERSIONS
CONVERTING = {*CONVERSIONS, "QUANTIZE", "DEQUANTIZE", "qnn.quantize", "qnn.dequantize"}
"""Conversions by their names in every dialect."""
EFFICIENCY: Range = (0.03, 0.7)
"""Share of the peak that a unit without a fit is given: from the 10th percentile of 355 public models measured on
Hailo-8 and Hailo-8L (Model Zoo 2.18, batch 8) to the best that NVIDIA published of its DLA (SSD-ResNet-34, 69 %).
``benchmarks/npu/estimate_check.py`` holds both to the data."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its source; every figure is a range, None where the sources do not carry one."""

    basis: str
    """What it rests on, in a sentence: which peak figures, which calibration, who gave them."""
    said_by: str = "estimate"
    latency_seconds: Range | None = None
    host_only_seconds: Range | None = None
    speedup: Range | None = None
    transfer_seconds: Range | None = None
    bandwidth_bytes: Range | None = None
    """Bytes moved to and from memory in one inference."""
    energy_joules: Range | None = None
    by_operator: tuple[Range | None, ...] = ()
    """Seconds of each source operator where it was placed."""
    missing: tuple[str, ...] = ()
    """What could not be told, and why."""


def estimate(placement: Placement, calibration: Calibration | None = None, host: Calibration | None = None) -> Estimate:
    """The roofline of a placement by its target's hardware figures, or by fits to measurements of unit and host."""
    target, missing = placement.target, list[str]()
    calibration = calibration or _own(target, "measured", missing)
    host = host or _own(target, "host_measured", missing)
    figures = hardware(target)
    if figures is None and calibration is None:
        missing.append(f"not estimated: no published peak of {target.capability.title}")
        return Estimate("nothing", missing=tuple(missing))
    figures = figures or Hardware("your measurements")
    return Sum(placement, figures, calibration or _shipped(figures), host, missing).estimate()


def _own(target: Target, option: str, missing: list[str]) -> Calibration | None:
    """A fit to the user's own measurements, where the target names a file of them."""
    if option not in target.options:
        return None
    path = Path(target.options[option])
    try:
        return calibrate(load(path), f"your {path.name}")
    except UserError as problem:
        missing.append(". ".join(filter(None, (str(problem), problem.remedy))))
        return None


@dataclass
class Rates:
    """What a unit does per second: a fit where there is one, else published peaks."""

    macs_per_second: Range | None
    bytes_per_second: Range | None
    fitted: Calibration | None

    def seconds(self, cost: Cost, moved: float | None) -> Range | None:
        """One operator's time, which moves so many bytes; None where its size or the unit's rate is not known."""
        if cost.macs is None:
            return None
        if self.fitted is not None:
            middle = cost.macs * self.fitted.seconds_per_mac + cost.parameters * self.fitted.seconds_per_parameter
            return _times((middle, middle), self.fitted.spread)
        if self.macs_per_second is None or (self.bytes_per_second is not None and moved is None):
            return None
        low, high = _over(cost.macs, self.macs_per_second)
        arithmetic = (low / EFFICIENCY[1], high / EFFICIENCY[0])
        memory = _over(moved or 0, self.bytes_per_second) if self.bytes_per_second else (0.0, 0.0)
        return max(arithmetic[0], memory[0]), max(arithmetic[1], memory[1])

    @property
    def fixed(self) -> Range:
        return _times((self.fitted.fixed_seconds,) * 2, self.fitted.spread) if self.fitted else (0.0, 0.0)


class Sum:
    """The parts of an estimate, added up."""

    def __init__(
        self,
        placement: Placement,
        figures: Hardware,
        unit: Calibration | None,
        host: Calibration | None,
        missing: list[str],
    ) -> None:
        self.placement, self.figures = placement, figures
        self.unit = Rates(figures.macs_per_second, figures.bandwidth_bytes_per_second, unit)
        self.host = Rates(figures.host_macs_per_second, figures.host_bandwidth_bytes_per_second, host)
        self.missing = missing
        self.sizes: dict[int, float | None] = {}
        """Bytes of tensors on the accelerator, by identity: most are read by one operator and made by another."""
        self.moved = [self._moved(one) for one in placement.placed]

    def estimate(self) -> Estimate:
        by_operator = tuple(self._placed(one) for one in self.placement.placed)
        transfer = self._transfer()
        latency = self._latency(by_operator, transfer)
        alone = self._host_only()
        return Estimate(
            self._basis(),
            latency_seconds=latency,
            host_only_seconds=alone,
            speedup=_speedup(alone, latency),
            transfer_seconds=transfer,
            bandwidth_bytes=self._bandwidth(),
            energy_joules=self._energy(by_operator),
            by_operator=by_operator,
            missing=tuple(dict.fromkeys(self.missing)),
        )

    def _placed(self, one: Placed) -> Range | None:
        cost = self.placement.costs[one.operator.index]
        if one.fate == "folded":
            return (0.0, 0.0)
        if one.fate == "accelerator":
            return self.unit.seconds(cost, self.moved[one.operator.index])
        if one.fate == "host":
            return self.host.seconds(cost, _moved(cost))
        return None

    def _moved(self, one: Placed) -> float | None:
        """Bytes that an operator reads and writes; of Q and DQ that are part of another operator, none."""
        if not _on_unit(one):
            return _moved(self.placement.costs[one.operator.index])
        if one.operator.type in CONVERSIONS and CONVERTING.isdisjoint(one.lowered):
            return 0.0
        sizes = [self._held(t) for t in (*one.operator.inputs, *one.operator.outputs) if t is not None]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def _held(self, tensor: Tensor) -> float | None:
        """Bytes of a tensor on the accelerator: its quantised values between DQ and Q, floats narrower than here."""
        if id(tensor) not in self.sizes:
            stored = _stored(tensor)
            size = stored.bytes
            narrower = _narrower(stored, self.figures.element_bytes)
            self.sizes[id(tensor)] = None if size is None else size * narrower
        return self.sizes[id(tensor)]

    def _latency(self, by_operator: Iterable[Range | None], transfer: Range | None) -> Range | None:
        """The sum: a pipeline that overlaps parts is faster in throughput, not in latency."""
        placement, counts = self.placement, self.placement.figures
        capability = placement.target.capability
        times = list(by_operator)
        if counts.refused:
            self.missing.append(f"latency: {capability.tool} stops at {counts.refused} operators")
        if counts.unknown:
            self.missing.append(f"latency: where {counts.unknown} operators run is not known")
        for fate, rates, word in (("accelerator", self.unit, capability.title), ("host", self.host, "the host")):
            blank = [
                one for one, time in zip(placement.placed, times, strict=True) if one.fate == fate and time is None
            ]
            if blank:
                self.missing.append(self._why(rates, blank, word))
        if None in times:
            return None
        start = self.unit.fixed if counts.accelerated else (0.0, 0.0)
        return _total([*(time for time in times if time is not None), transfer or (0.0, 0.0), start])

    def _why(self, rates: Rates, blank: list[Placed], word: str) -> str:
        if rates.fitted is None and rates.macs_per_second is None:
            return f"{len(blank)} operators on {word} not estimated: no published peak, no measurement to go by"
        return f"{len(blank)} operators on {word} not estimated: their sizes are not known"

    def _transfer(self) -> Range | None:
        """Copies over the border, conversions with them. What a fit was measured with, its edges, is in the fit."""
        placement = self.placement
        found = [(crossing.tensor, crossing.bytes) for crossing in placement.crossings]
        if not self.unit.fitted:
            out = {id(crossing.tensor) for crossing in placement.crossings if crossing.into < 0}
            edges = model_edges(placement.lowered, placement.region_of)
            found += [(tensor, tensor.bytes) for tensor in edges if id(tensor) not in out]
        if not found or not placement.figures.accelerated:
            return (0.0, 0.0)
        if self.figures.transfer_bytes_per_second is None:
            self.missing.append("transfers: no rate over the border is published; the latency is without them")
            return None
        if any(size is None for _, size in found):
            self.missing.append("transfers: a tensor's size at the border is not known; the latency is without them")
            return None
        moved = sum(_narrower(tensor, self.figures.element_bytes) * (size or 0) for tensor, size in found)
        low, high = _over(moved, self.figures.transfer_bytes_per_second)
        each = self.figures.crossing_seconds or (0.0, 0.0)
        return low + each[0] * len(found), high + each[1] * len(found)

    def _host_only(self) -> Range | None:
        times = [self.host.seconds(cost, _moved(cost)) for cost in self.placement.costs]
        if self.host.fitted is None and self.host.macs_per_second is None:
            self.missing.append("host only, speed-up: no published peak of the host, no measurement to go by")
            return None
        if None in times:
            self.missing.append("host only, speed-up: an operator's size is not known")
            return None
        return _total([*(time for time in times if time is not None), self.host.fixed])

    def _bandwidth(self) -> Range | None:
        """From every tensor kept on the chip (edges only) to every one written out and read back."""
        seen = [one for one in self.placement.placed if one.fate != "folded"]
        moved = [self.moved[one.operator.index] for one in seen]
        if None in moved:
            self.missing.append("bytes moved: an operator's size is not known")
            return None
        edges = model_edges(self.placement.lowered, self.placement.region_of)
        parameters = [t for one in seen for t in one.operator.inputs if t is not None and t.constant]
        least = sum(self._held(tensor) or 0 for tensor in (*edges, *parameters))
        most = sum(size for size in moved if size is not None)
        return min(least, most), most

    def _energy(self, by_operator: tuple[Range | None, ...]) -> Range | None:
        """Energy of the accelerator alone, while it works: the host's and the board's are not in it."""
        pairs = zip(self.placement.placed, by_operator, strict=True)
        times = [time for one, time in pairs if _on_unit(one)]
        if self.figures.watts is None:
            self.missing.append("energy: no power is published")
            return None
        if not times or None in times:
            return None
        low, high = _total([*(time for time in times if time is not None), self.unit.fixed])
        return low * self.figures.watts[0], high * self.figures.watts[1]

    def _basis(self) -> str:
        fitted = self.unit.fitted
        if fitted is None:
            self.missing.append("the fixed cost of starting a run: published for no unit; a measurement tells it")
            share = f"{EFFICIENCY[0]:.0%} to {EFFICIENCY[1]:.0%} of the peak, as networks reach on other accelerators"
            return f"published peaks ({self.figures.source}), at {share}"
        return (
            f"a fit to {fitted.points} measurements ({fitted.source}), off by {fitted.error:.0%} in the median"
            " on networks that it has not seen"
        )


def _shipped(figures: Hardware) -> Calibration | None:
    fitted = figures.calibration
    if fitted is None:
        return None
    return Calibration(
        fitted.fixed_seconds,
        fitted.seconds_per_mac,
        fitted.seconds_per_parameter,
        fitted.spread,
        fitted.error,
        fitted.points,
        fitted.source,
    )


def _on_unit(one: Placed) -> bool:
    return one.fate == "accelerator"


def _stored(tensor: Tensor) -> Tensor:
    """The quantised tensor that a float one between Q and DQ stands for; else the tensor itself."""
    if tensor.producer is not None and tensor.producer.type == DEQUANTISES:
        return tensor.producer.inputs[0] or tensor
    if len(tensor.consumers) == 1 and tensor.consumers[0].type == QUANTISES:
        return tensor.consumers[0].outputs[0]
    return tensor


def _narrower(tensor: Tensor, element_bytes: float | None) -> float:
    """How many bytes on the accelerator for each of the model's."""
    if element_bytes is None or tensor.dtype is None or "float" not in tensor.dtype:
        return 1.0
    bits = BITS.get(tensor.dtype) or int(tensor.dtype.removeprefix("float"))
    return min(1.0, element_bytes * 8 / bits)


def _moved(cost: Cost) -> float | None:
    """Bytes that an operator reads and writes as the model stores them."""
    if cost.read_bytes is None or cost.written_bytes is None or cost.parameter_bytes is None:
        return None
    return cost.read_bytes + cost.written_bytes + cost.parameter_bytes


def _over(amount: float, rate: Range) -> Range:
    return amount / rate[1], amount / rate[0]


def _times(left: Range, right: Range) -> Range:
    return left[0] * right[0], left[1] * right[1]


def _total(times: Iterable[Range]) -> Range:
    kept = list(times)
    return sum(low for low, _ in kept), sum(high for _, high in kept)


def _speedup(alone: Range | None, latency: Range | None) -> Range | None:
    if alone is None or latency is None or not latency[0]:
        return None
    return alone[0] / latency[1], alone[1] / latency[0]

"""What several findings share: how they name operators, and which operators only convert between types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from whichpu.graphs.graph import Operator, Tensor
from whichpu.graphs.placement import Placement

QUANTISE = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QUANTIZE", "qnn.quantize"})
DEQUANTISE = frozenset({"DequantizeLinear", "DEQUANTIZE", "qnn.dequantize"})
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
FEW = 12
"""How many operators or rows a finding lists; its figures count all."""


def converts(operator: Operator) -> bool:
    """Does it only turn integers into floats or back?"""
    return operator.type in QUANTISE or operator.type in DEQUANTISE


def in_float(operator: Operator) -> bool:
    """Does it compute in floating point? An operator of unknown types does not count."""
    return any(tensor.dtype in FLOATS for tensor in operator.outputs)


def quantised(operators: Iterable[Operator]) -> bool:
    """Is this network, or a part of it, in integers?"""
    return any(
        converts(operator) or any(tensor.quantisation is not None for tensor in operator.outputs)
        for operator in operators
    )


def fed(operator: Operator) -> list[Tensor]:
    """Inputs that are computed or fed: weights, and weights behind a dequantise, are left out."""
    return [tensor for tensor in operator.inputs if tensor is not None and not _stored(tensor)]


def _stored(tensor: Tensor) -> bool:
    source = tensor.producer
    if tensor.constant:
        return True
    return source is not None and source.type in DEQUANTISE and bool(source.inputs) and _constant(source.inputs[0])


def _constant(tensor: Tensor | None) -> bool:
    return tensor is None or tensor.constant


def counted(types: Iterable[str], most: int = 5) -> str:
    """``2 x Softmax, LSTM``, the most frequent first."""
    count = Counter(types)
    rows = sorted(count.items(), key=lambda row: (-row[1], row[0]))
    shown = [f"{number} x {name}" if number > 1 else name for name, number in rows[:most]]
    rest = sum(number for _, number in rows[most:])
    return ", ".join([*shown, *([f"{rest} more"] if rest else [])])


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """``1 operator``, ``3 operators``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def size(value: int | None) -> str:
    """Bytes for people, decimal units; words where they are not known."""
    if value is None:
        return "an unknown number of bytes"
    for name, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if value >= factor:
            return f"{value / factor:.3g} {name}"
    return f"{value} B"


def span(seconds: tuple[float, float]) -> str:
    """A range of times for people, both ends in the unit of the upper one."""
    low, high = seconds
    name, unit = next((row for row in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if high >= row[1]), ("ns", 1e-9))
    return f"{low / unit:.2g} to {high / unit:.2g} {name}"


def names(operators: Sequence[Operator]) -> tuple[str, ...]:
    return tuple(operator.name for operator in operators[:FEW])


def unit(placement: Placement) -> str:
    return placement.target.capability.unit.upper()


def host(placement: Placement) -> str:
    return placement.target.capability.host.upper()

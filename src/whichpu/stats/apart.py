"""How far a tensor is from the one that it should be, over all samples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Apart:
    """Error figures of one tensor.

    ``relative_l2`` is the L2 norm of the difference over that of the reference; ``None`` where the reference is zero
    everywhere and the tensor is not. ``sqnr_db`` is the same as a signal-to-quantisation-noise ratio,
    ``-20 log10(relative_l2)``; ``None`` where nothing differs too. ``max_abs`` is the largest difference. ``odd``
    counts values that are NaN or infinite in one of both only (or of unequal sign), which the figures leave out;
    ``odd_in_reference`` those of the reference alone.
    """

    relative_l2: float | None
    sqnr_db: float | None
    max_abs: float
    values: int
    odd: int = 0
    odd_in_reference: int = 0

    def beyond(self, bound: float) -> bool:
        """Is the error larger than ``bound`` (relative L2), or not even a number?"""
        return self.odd > 0 or self.relative_l2 is None or self.relative_l2 > bound

    @property
    def size(self) -> float:
        """The relative L2 error to rank by: infinite where there is none."""
        return math.inf if self.odd or self.relative_l2 is None else self.relative_l2


def apart(pairs: Iterable[tuple[Array, Array]]) -> Apart:
    """The error of tensors against their references, pair by pair: ``(tensor, reference)``, of equal numbers of values.

    Raises :class:`ValueError` when a pair has unequal numbers.
    """
    noise = signal = largest = 0.0
    values = odd = odd_in_reference = 0
    for ours, theirs in pairs:
        if ours.size != theirs.size:
            raise ValueError(f"{ours.size} values; the reference has {theirs.size}")
        a, b = (np.asarray(array).reshape(-1).astype(np.float64) for array in (ours, theirs))
        equal = (a == b) | (np.isnan(a) & np.isnan(b))
        finite = np.isfinite(a) & np.isfinite(b)
        odd += int((~finite & ~equal).sum())
        odd_in_reference += int((~np.isfinite(b)).sum())
        a, b = a[finite], b[finite]
        gap = np.abs(a - b)
        noise, signal = noise + float(gap @ gap), signal + float(b @ b)
        largest, values = max(largest, float(gap.max(initial=0.0))), values + theirs.size
    relative = math.sqrt(noise / signal) if signal else (0.0 if not noise else None)
    return Apart(
        relative_l2=relative,
        sqnr_db=-20 * math.log10(relative) if relative else None,
        max_abs=largest,
        values=values,
        odd=odd,
        odd_in_reference=odd_in_reference,
    )
